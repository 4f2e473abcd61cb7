// Runs the tests of this folder, and prints the results as `cargo test` does, which .ci/test-results reads.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { run } from "node:test";
import { fileURLToPath } from "node:url";

/** Each file has a browser. More than the cores of a small machine, because most tests wait for the page. */
const FILES_AT_ONCE = 3;
/** A file takes some seconds. */
const FILE_MS = 120_000;

const folder = fileURLToPath(new URL(".", import.meta.url));
const [only = ""] = process.argv.slice(2);
const files = readdirSync(folder).filter((name) => name.endsWith(".test.mjs") && name.includes(only));

/** Yields a line for each test, and the reason of each failure. */
async function* report(events) {
  for await (const { type, data } of events) {
    const isFile = data?.name?.endsWith(".mjs");
    if (type === "test:pass" && !isFile) yield `test ${data.name} ... ok\n`;
    else if (type === "test:fail") {
      process.exitCode = 1;
      yield `test ${data.name} ... FAILED\n${data.details.error.cause?.stack ?? data.details.error.message}\n`;
    } else if (type === "test:stdout" || type === "test:stderr") yield data.message;
  }
}

run({ files: files.map((name) => join(folder, name)), concurrency: FILES_AT_ONCE, timeout: FILE_MS })
  .compose(report)
  .pipe(process.stdout);
