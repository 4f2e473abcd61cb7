#!/usr/bin/env node
const HELP = `Copy what the live page uses of npm into assets/vendor, at the versions of crates/live/package-lock.json.

Usage: node crates/live/vendor.mjs [--check] [--packages FOLDER]

  --check            change nothing; exit with 1 if a file in assets/vendor differs
  --packages FOLDER  where the packages are installed [default: crates/live]

Before it: npm ci --ignore-scripts --prefix crates/live`;

import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { coastline } from "./coastline.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = join(here, "assets", "vendor");

const { values } = parseArgs({
  options: { check: { type: "boolean" }, packages: { type: "string" }, help: { type: "boolean", short: "h" } },
});
if (values.help) {
  console.log(HELP);
  process.exit();
}
const modules = join(values.packages ?? here, "node_modules");
const packaged = (path) => readFileSync(join(modules, path), "utf8");
const locked = JSON.parse(readFileSync(join(here, "package-lock.json"), "utf8")).packages;

const files = {
  "uPlot.iife.min.js": packaged("uplot/dist/uPlot.iife.min.js"),
  "uPlot.min.css": packaged("uplot/dist/uPlot.min.css"),
  "coastline.json": JSON.stringify(coastline(JSON.parse(packaged("world-atlas/land-50m.json")))),
  "LICENSES.txt": ["uplot", "world-atlas"]
    .map((name) => `${name} ${locked[`node_modules/${name}`].version}\n\n${packaged(`${name}/LICENSE`).trim()}\n`)
    .concat("The coastline is made with Natural Earth (naturalearthdata.com), which is in the public domain.\n")
    .join("\n----\n\n"),
};

const read = (name) => {
  try {
    return readFileSync(join(target, name), "utf8");
  } catch {
    return undefined;
  }
};
const other = [...new Set([...Object.keys(files), ...readdirSync(target)])].filter(
  (name) => read(name) !== files[name],
);
if (!values.check) {
  mkdirSync(target, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(target, name), text);
} else if (other.length > 0) {
  console.error(
    `vendor: ${other.join(", ")} in ${target} is not what the lock file gives: run node crates/live/vendor.mjs`,
  );
  process.exit(1);
}
