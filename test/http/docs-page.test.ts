import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { chromium, type BrowserContext, type Page } from "playwright-core";
import { startDev, startServer, temporaryFolder } from "../harness.ts";

/** Where Debian puts it; the CI run installs it, and says by this setting that it must be there. */
const BROWSER = "/usr/bin/chromium";
const skip =
  existsSync(BROWSER) || process.env["REQUIRE_BROWSER"] === "1" ? false : `there is no browser at ${BROWSER}`;

describe("the page at /docs", () => {
  test("loads nothing but what is served here, under a policy that forbids the rest", async () => {
    await using service = await startServer();
    const page = await service.request("GET", "/docs");
    assert.equal(page.status, 200);
    assert.match(page.headers.get("content-type") ?? "", /^text\/html/);
    const policy = page.headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const sources = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, source]) => source ?? "");
    assert.ok(sources.length >= 4);
    for (const source of sources) {
      assert.ok(source.startsWith("/"), source);
      assert.equal((await service.request("GET", source)).status, 200, source);
    }
  });

  test("is refused to a page of another site in dev mode", async () => {
    await using service = await startDev();
    const answer = await service.request("GET", "/docs", undefined, {
      headers: { "sec-fetch-site": "cross-site" },
    });
    assert.equal(answer.status, 403);
  });

  test(
    "lets a developer authorise, create a key, encrypt and see the ciphertext, in a real browser",
    { skip, timeout: 120_000 },
    async () => {
      await using service = await startServer({
        KEYSTEAD_ADDR: "127.0.0.1:0",
        KEYSTEAD_FACADES: "auto-kms",
      });
      const token = await service.token("admin");
      const context = await openBrowser();
      try {
        const page = await context.newPage();
        const complaints: string[] = [];
        const foreign: string[] = [];
        page.on("console", (line) => {
          if (line.type() === "error") complaints.push(line.text());
        });
        page.on("pageerror", (error) => complaints.push(error.message));
        page.on("request", (request) => {
          if (!request.url().startsWith(service.url) && !request.url().startsWith("data:"))
            foreign.push(request.url());
        });
        await page.goto(`${service.url}/docs`);

        await page.getByRole("button", { name: "Authorize" }).first().click();
        await page.locator(".auth-container input").fill(token);
        await page.locator(".auth-btn-wrapper .authorize").click();
        await page.locator(".auth-btn-wrapper .btn-done").click();

        await page.locator("#operations-tag-key").click();
        const created = await answerOf(page, "/v1/keys");
        assert.match(created.status, /^201/);
        const encrypted = await answerOf(page, "/v1/encrypt/{name}");
        assert.match(encrypted.status, /^200/);
        const { ciphertext } = JSON.parse(encrypted.body) as { ciphertext: string };
        assert.ok(ciphertext.length > 20);
        const decrypted = await service.request("POST", "/v1/decrypt/orders", { ciphertext }, { token });
        assert.equal(decrypted.json["plaintext"], "hello");

        const groups = await page
          .locator(".opblock-tag[data-tag]")
          .evaluateAll((headings) => headings.map((heading) => heading.getAttribute("data-tag")));
        assert.equal(groups[0], "key");
        assert.ok(groups.includes("Auto KMS"));
        await page.locator('.opblock-tag[data-tag="Auto KMS"]').click();
        const made = await answerOf(page, "/kms/Key");
        assert.match(made.status, /^201/);
        const { id } = JSON.parse(made.body) as { id: string };
        const sealed = await answerOf(page, "/kms/Key/{id}/encrypt", id);
        assert.match(sealed.status, /^200/);
        const parts = JSON.parse(sealed.body) as Record<string, unknown>;
        assert.equal(parts["kid"], id);
        const { ciphertext_b64, nonce_b64, tag_b64 } = parts;
        const opened = await service.request(
          "POST",
          `/kms/Key/${id}/decrypt`,
          { ciphertext_b64, nonce_b64, tag_b64 },
          { token },
        );
        assert.equal(opened.json["plaintext_b64"], Buffer.from("hello").toString("base64"));
        assert.deepEqual(complaints, []);
        assert.deepEqual(foreign, []);
      } finally {
        await context.close();
      }
    },
  );
});

/** Where to put the picture for the documents; it is taken on request only. */
const picture = process.env["DOCS_PICTURE"];

test(
  "is shown by a picture in dev mode",
  { skip: picture === undefined ? "DOCS_PICTURE names no file" : skip, timeout: 120_000 },
  async () => {
    await using service = await startDev();
    const context = await openBrowser();
    try {
      const page = await context.newPage();
      await page.setViewportSize({ width: 1100, height: 3000 });
      await page.goto(`${service.url}/docs`);
      await page.locator('.opblock-tag[data-tag="Auto KMS"]').click();
      const body = { name: "demo", algorithm: "AES256_GCM" };
      const { id } = (await service.request("POST", "/kms/Key", body)).json;
      await answerOf(page, "/kms/Key/{id}/encrypt", String(id));
      const top = await page.locator('.opblock-tag[data-tag="issuer"]').boundingBox();
      const end = await page.locator(".live-responses-table").boundingBox();
      const whole = await page.locator("html").boundingBox();
      assert.ok(top !== null && end !== null && whole !== null);
      const height = end.y + end.height - top.y + 20;
      const clip = { x: 0, y: top.y - whole.y - 10, width: 1100, height };
      await page.screenshot({ path: picture ?? "", clip, fullPage: true });
    } finally {
      await context.close();
    }
  },
);

/** Chromium with an empty profile, which asks nobody for anything by itself. */
function openBrowser(): Promise<BrowserContext> {
  return chromium.launchPersistentContext(temporaryFolder(), {
    executablePath: BROWSER,
    headless: true,
    viewport: { width: 1280, height: 1000 },
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Opens a POST of the page, executes its example as it stands (`id` put into its path), and reads the answer. */
async function answerOf(page: Page, path: string, id?: string): Promise<{ status: string; body: string }> {
  const block = page
    .locator(".opblock-post")
    .filter({ has: page.locator(`.opblock-summary-path[data-path="${path}"]`) });
  await block.locator(".opblock-summary-control").click();
  if (id !== undefined) await block.locator('tr[data-param-name="id"] input').fill(id);
  await block.getByRole("button", { name: "Execute" }).click();
  const live = block.locator(".live-responses-table .response");
  await live.waitFor();
  return {
    status: (await live.locator(".response-col_status").innerText()).trim(),
    body: await live.locator(".response-col_description pre").first().innerText(),
  };
}
