// What was measured on: figures without it say nothing.
"use strict";

const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const os = require("node:os");
const { canPin } = require("./cores.js");
const { table, mebibytes } = require("./tables.js");

/** More load of the last minute than this is not what an idle machine has. */
const MOST_LOAD = 0.5;

/** What a program says, or null where it is not there. */
function said(program, ...words) {
  try {
    return execFileSync(program, words, {
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
  const changed = said("git", "status", "--porcelain", "--untracked-files=no");
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model ?? "unknown",
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    loadBefore: os.loadavg()[0],
    os: distribution(),
    kernel: os.release(),
    pinned: canPin(),
    versions: {
      rustc: said("rustc", "--version"),
      node: process.version,
      go: said("go", "version"),
      python: said("python3", "--version"),
    },
    commit: said("git", "rev-parse", "HEAD"),
    treeIsDirty: changed === null ? null : changed !== "",
  };
}

/** What is to be said where the machine does something else already; null where it does next to nothing. */
const busy = ({ loadBefore }) =>
  loadBefore > MOST_LOAD
    ? `The load of the last minute is ${loadBefore.toFixed(2)}: the machine does something else, and figures will be off.`
    : null;

/** What machine() says, for people. */
function describe({ cpu, cores, memoryBytes, loadBefore, os, kernel, pinned, versions, commit, treeIsDirty, date }) {
  const tree = treeIsDirty ? " with changes that are not committed" : "";
  return table(
    ["MACHINE", ""],
    [
      ["date", date],
      ["processor", `${cpu}, ${cores} cores`],
      ["memory", mebibytes(memoryBytes)],
      ["load before", `${loadBefore.toFixed(2)} (of the last minute; an idle machine has next to none)`],
      ["system", `${os}, kernel ${kernel}`],
      ["versions", Object.values(versions).filter(Boolean).join("; ")],
      ["commit", commit ? commit + tree : "unknown"],
      ["pinning", pinned ? "taskset" : "none: there is no taskset here, so that processes share cores as they like"],
    ],
  );
}

module.exports = { busy, describe, machine };
