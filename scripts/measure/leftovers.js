// Cleans up when a measurement ends or is interrupted: stops its child processes and theirs, and deletes its folders.
"use strict";

const { mkdtempSync, readFileSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { spawn } = require("node:child_process");

const children = new Set();
const folders = new Set();

/** How long children have to stop after a signal, and how often it is repeated, in milliseconds. */
const MAX_SHUTDOWN_MS = 5_000;
const SIGNAL_INTERVAL_MS = 100;

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
 * Stops all children, first with repeated SIGTERMs: the handlers of `devicestate local` are in their own groups, and only it
 * can stop them, at once after the second signal. This blocks, so that no further round starts meanwhile.
 */
function endChildren() {
  const until = performance.now() + MAX_SHUTDOWN_MS;
  const buffer = new Int32Array(new SharedArrayBuffer(4));
  while (performance.now() < until && [...children].some(isAlive)) {
    for (const child of children) signal(child, "SIGTERM");
    Atomics.wait(buffer, 0, 0, SIGNAL_INTERVAL_MS);
  }
  for (const child of children) signal(child, "SIGKILL");
}

/** Returns whether a process of the child's group is running; zombies do not count. */
function isAlive({ pid: group }) {
  return readdirSync("/proc").some((pid) => {
    if (!/^[0-9]/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return Number(processGroup) === group && state !== "Z";
    } catch {
      return false; // The process has just ended.
    }
  });
}

/** Starts a program in its own group. It is stopped when this process ends. */
function startProcess([program, ...args], options) {
  const started = spawn(program, args, { ...options, detached: true });
  if (started.pid !== undefined) children.add(started);
  started.on("close", () => children.delete(started));
  return started;
}

/** Sends a signal to a program and its group, unless they have ended. */
function signal({ pid }, name) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, name);
  } catch ({ code }) {
    if (code !== "ESRCH") throw new Error(`${name} to the group of process ${pid}: ${code}`);
  }
}

/** Calls a function with a new folder, and deletes the folder afterwards. */
async function withFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), "devicestate-measure-"));
  folders.add(folder);
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
    folders.delete(folder);
  }
}

module.exports = { signal, startProcess, withFolder };
