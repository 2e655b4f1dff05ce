// Makes a library of this repository ready for `npm pack`: JavaScript and declarations in its folder's `dist`, and the
// licence beside them. `node scripts/build-library.mjs sdk`; with `--clean`, both are taken away again. What the library
// imports of the client's folder becomes an import of the package `@keystead/client`.
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const [argument = ".", flag] = process.argv.slice(2);
const folder = resolve(argument);
const name = relative(root, folder).split(sep).join("/");
const dist = join(folder, "dist");
const license = join(folder, "LICENSE");
const CLIENT = "sdk";

rmSync(dist, { recursive: true, force: true });
rmSync(license, { force: true });
if (flag !== "--clean") build();

function build() {
  const config = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
  const { options, errors } = ts.convertCompilerOptionsFromJson(
    {
      ...config.config.compilerOptions,
      // What Node 20 runs, and has.
      target: "es2022",
      lib: ["es2023", "es2024.string", "dom", "dom.iterable"],
      noEmit: false,
      declaration: true,
      stripInternal: true,
      newLine: "lf",
      rootDir: root,
      outDir: root,
      rewriteRelativeImportExtensions: true,
    },
    root,
  );
  const program = ts.createProgram(sourcesUnder(folder), options);
  const emitted = new Map();
  const { diagnostics } = program.emit(undefined, (path, text) => emitted.set(resolve(path), text));
  const problems = [...errors, ...ts.getPreEmitDiagnostics(program), ...diagnostics];
  if (problems.length > 0) {
    process.stderr.write(
      ts.formatDiagnostics(problems, {
        getCanonicalFileName: (path) => path,
        getCurrentDirectory: () => root,
        getNewLine: () => "\n",
      }),
    );
    process.exit(1);
  }
  for (const [path, text] of emitted) {
    if (!path.startsWith(folder + sep)) continue;
    const target = join(dist, relative(folder, path));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, published(path, text));
  }
  copyFileSync(join(root, "LICENSE"), license);
}

/** Import paths as they are in the package: `.js` for `.ts`, and the client by its package's name. */
function published(path, text) {
  return text.replaceAll(/((?:from|import)\s*\(?\s*")(\.[^"]+?)\.[jt]s"/g, (_, before, specifier) => {
    const target = relative(root, resolve(dirname(path), specifier))
      .split(sep)
      .join("/");
    if (target.startsWith(`${name}/`)) return `${before}${specifier}.js"`;
    if (target.startsWith(`${CLIENT}/`)) return `${before}@keystead/client${target.slice(CLIENT.length)}"`;
    throw new Error(`${name} imports ${target}, which is in no package`);
  });
}

function sourcesUnder(place) {
  return readdirSync(place, { withFileTypes: true }).flatMap((entry) => {
    const path = join(place, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist"].includes(entry.name) ? [] : sourcesUnder(path);
    return entry.name.endsWith(".ts") ? [path] : [];
  });
}
