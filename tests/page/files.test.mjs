// The files of the page.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "./browser.mjs";

const MAX_BYTES = 300_000;
const assets = join(ROOT, "crates/live/assets");
const names = readdirSync(assets, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map(({ path, parentPath, name }) => join(parentPath ?? path, name));

test("the page has at most 300 kB", () => {
  const bytes = names.reduce((sum, name) => sum + readFileSync(name).length, 0);
  console.log(`page: ${bytes} bytes`);
  assert.ok(bytes > 100_000 && bytes <= MAX_BYTES, `${bytes} bytes`);
});

test("no module of the page makes markup of text or names another origin", () => {
  const own = names.filter((name) => /\.(js|css|html)$/.test(name) && !name.includes("vendor"));
  assert.ok(own.length > 15);
  for (const name of own) {
    const text = readFileSync(name, "utf8").replaceAll("http://www.w3.org/2000/svg", "");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?:\/\//, name);
  }
});
