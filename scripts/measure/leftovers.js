// What a measurement leaves when it is ended in the middle: nothing. Children are ended with all that they have started,
// folders are deleted.
"use strict";

const { mkdtempSync, readFileSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { spawn } = require("node:child_process");

const children = new Set();
const folders = new Set();

/** How long children have to end by themselves, and how often they are asked to, in milliseconds. */
const PATIENCE = 5_000;
const EVERY = 100;

process.on("exit", () => {
  endChildren();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const [name, code] of [
  ["SIGHUP", 129],
  ["SIGINT", 130],
  ["SIGTERM", 143],
])
  process.on(name, () => process.exit(code));

/**
 * Ends all children. They are asked to first, and more than once: the handlers of `devicestate local` are in groups of their
 * own, and only it ends them, at once when it is asked for the second time. Nothing else runs meanwhile, so that no next
 * round begins.
 */
function endChildren() {
  const until = performance.now() + PATIENCE;
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  while (performance.now() < until && [...children].some(isAlive)) {
    for (const child of children) signal(child, "SIGTERM");
    Atomics.wait(nobody, 0, 0, EVERY);
  }
  for (const child of children) signal(child, "SIGKILL");
}

/** Whether anybody of its group is there, other than those that have ended and that nobody has asked about. */
function isAlive({ pid: group }) {
  return readdirSync("/proc").some((pid) => {
    if (!/^[0-9]/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [state, , itsGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(itsGroup) === group && state !== "Z";
    } catch {
      return false; // It has just ended.
    }
  });
}

/** Starts a program that does not outlive this one, in a group of its own. */
function child([program, ...words], options) {
  const started = spawn(program, words, { ...options, detached: true });
  if (started.pid !== undefined) children.add(started);
  started.on("close", () => children.delete(started));
  return started;
}

/** Signals to a program and all of its group; who is gone hears nothing. */
function signal({ pid }, name) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch ({ code }) {
    if (code !== "ESRCH") throw new Error(`${name} to the group of process ${pid}: ${code}`);
  }
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

module.exports = { child, inFolder, signal };
