// Every src/entries/*.ts becomes one script (and one style sheet) in the Python package.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const check = process.argv.includes("--check");

const { outputFiles } = await build({
  absWorkingDir: here("."),
  entryPoints: readdirSync(here("src/entries")).map((name) => `src/entries/${name}`),
  outdir: here("../src/attattr/page/static"),
  bundle: true,
  minify: true,
  charset: "ascii",
  format: "iife",
  target: ["chrome103", "firefox113", "safari16.4"],
  legalComments: "none",
  banner: { js: "/* attattr, Apache-2.0; contains d3 modules, ISC, (c) Mike Bostock */" },
  write: !check,
  metafile: true,
}).then((made) => (check ? made : { outputFiles: [] }));

for (const { path, text } of outputFiles) {
  let there = "";
  try {
    there = readFileSync(path, "utf8");
  } catch {}
  if (there !== text) throw new Error(`${path} is stale: npm run build`);
}
