/**
 * The page at /docs: Swagger UI from its package, over /openapi.json.
 * Invariant: the page runs nothing but the files served here (its policy says so), sends nothing to any other host, and
 * keeps no token once it is closed.
 */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { openRoute, type OpenRouteParts } from "./open-route.ts";
import type { WireResponse, WireRoute } from "./wire.ts";

/**
 * Scripts and styles from here alone, no inline script; Swagger UI sets styles of single elements from its script, and its
 * style sheet holds its icons as data.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const headers = {
  "content-security-policy": POLICY,
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
} as const;

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>Keystead API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css" />
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png" />
  </head>
  <body>
    <div id="docs"></div>
    <noscript>This page needs JavaScript; the description itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`;

const start = `SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: -1,
  persistAuthorization: false,
  validatorUrl: null,
});
`;

const packageFiles = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
  "favicon-32x32.png": "image/png",
} as const;

/** The page and the files that it loads. */
export function docsPage(parts: OpenRouteParts): WireRoute[] {
  const get = (path: string, contentType: string, body: () => Promise<WireResponse["body"]>): WireRoute =>
    openRoute(parts, path, async () => ({ status: 200, contentType, headers, body: await body() }));
  const constant = (text: string) => () => Promise.resolve(text);
  return [
    get("/docs", "text/html; charset=utf-8", constant(page)),
    get("/docs/start.js", "text/javascript; charset=utf-8", constant(start)),
    ...Object.entries(packageFiles).map(([name, type]) => get(`/docs/${name}`, type, readOnce(name))),
  ];
}

/** Reads a file of the package when it is first asked for: most services never show the page. */
function readOnce(name: string): () => Promise<Uint8Array<ArrayBuffer>> {
  let reading: Promise<Uint8Array<ArrayBuffer>> | undefined;
  return () => {
    reading ??= readFile(join(packageFolder(), name))
      .then((bytes) => new Uint8Array(Buffer.from(bytes)))
      .catch((error: unknown) => {
        reading = undefined;
        throw error;
      });
    return reading;
  };
}

function packageFolder(): string {
  return dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
}
