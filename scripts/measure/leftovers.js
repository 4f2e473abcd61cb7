// What a measurement leaves behind when it is ended in the middle: nothing. Children are killed, folders are deleted.
"use strict";

const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { spawn } = require("node:child_process");

const children = new Set();
const folders = new Set();

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
])
  process.once(signal, () => process.exit(code));

/** Starts a program that does not outlive this one. */
function child([program, ...words], options) {
  const started = spawn(program, words, options);
  children.add(started);
  started.on("close", () => children.delete(started));
  return started;
}

/** Calls a function with a new folder, which is gone when that ends. */
async function inFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), "devicestate-measure-"));
  folders.add(folder);
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}

module.exports = { child, inFolder };
