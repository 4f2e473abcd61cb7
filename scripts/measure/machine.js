// The machine of a measurement, without which its figures are meaningless.
"use strict";

const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const os = require("node:os");
const { canPin } = require("./cores.js");
const { table, mebibytes } = require("./tables.js");

/** The maximum load average of the last minute on an idle machine. */
const MAX_IDLE_LOAD = 0.5;

/** Returns the output of a program, or null if it cannot run. */
function outputOf(program, ...args) {
  try {
    return execFileSync(program, args, {
      cwd: __dirname,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return null;
  }
}

function distribution() {
  try {
    return /^PRETTY_NAME="?(.*?)"?$/m.exec(readFileSync("/etc/os-release", "utf8"))[1];
  } catch {
    return os.version();
  }
}

function machine() {
  const changed = outputOf("git", "status", "--porcelain", "--untracked-files=no");
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    loadBefore: os.loadavg()[0],
    os: distribution(),
    kernel: os.release(),
    isPinned: canPin(),
    versions: {
      rustc: outputOf("rustc", "--version"),
      node: process.version,
      go: outputOf("go", "version"),
      python: outputOf("python3", "--version"),
    },
    commit: outputOf("git", "rev-parse", "HEAD"),
    isTreeDirty: changed === null ? null : changed !== "",
  };
}

/** Returns a warning if the machine is busy, otherwise null. */
const loadWarning = ({ loadBefore }) =>
  loadBefore > MAX_IDLE_LOAD
    ? `The load average is ${loadBefore.toFixed(2)}: the machine is busy, and the figures will be inaccurate.`
    : null;

/** Returns the result of machine() as a table. */
function describe({ cpu, cores, memoryBytes, loadBefore, os, kernel, isPinned, versions, commit, isTreeDirty, date }) {
  const tree = isTreeDirty ? " with uncommitted changes" : "";
  return table(
    ["MACHINE", ""],
    [
      ["date", date],
      ["processor", `${cpu}, ${cores} cores`],
      ["memory", mebibytes(memoryBytes)],
      ["load before", `${loadBefore.toFixed(2)} (average of the last minute; near 0 on an idle machine)`],
      ["system", `${os}, kernel ${kernel}`],
      ["versions", Object.values(versions).filter(Boolean).join("; ")],
      ["commit", commit ? commit + tree : "unknown"],
      ["pinning", isPinned ? "taskset" : "none: taskset is not available, so processes share all cores"],
    ],
  );
}

module.exports = { loadWarning, describe, machine };
