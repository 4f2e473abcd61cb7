// The cores that a process may use.
"use strict";

const { spawnSync } = require("node:child_process");
const { CannotBegin } = require("./options.js");

let isThere;

/** Whether a process can be pinned to cores here. It is looked up once, so that nobody's start has that in its time. */
const canPin = () => (isThere ??= spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0);

/** A command on these cores, where it can be pinned. */
function pinned(cores, command) {
  return cores !== "" && canPin() ? ["taskset", "--cpu-list", String(cores), ...command] : command;
}

/** Makes sure that the cores of these options can be had: in a container it may be some of the machine's, or others. */
function ensureCores(options) {
  for (const [option, cores] of Object.entries(options)) {
    if (cores === "" || !canPin()) continue;
    for (const core of cores.split(",")) {
      const { status, stderr } = spawnSync("taskset", ["--cpu-list", core, "true"], { encoding: "utf8" });
      if (status !== 0)
        throw new CannotBegin(
          `--${option} ${cores}: core ${core} cannot be had (${stderr.trim().split("\n").at(-1)}); --${option} '' is any`,
        );
    }
  }
}

module.exports = { canPin, ensureCores, pinned };
