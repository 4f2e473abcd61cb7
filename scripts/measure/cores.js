// Pins processes to cores.
"use strict";

const { spawnSync } = require("node:child_process");
const { StartError } = require("./options.js");

let isAvailable;

/** Returns whether taskset is available. The result is cached, so that it is not in the start time of a handler. */
const canPin = () => (isAvailable ??= spawnSync("taskset", ["--version"], { stdio: "ignore" }).status === 0);

/** Returns the command that runs on these cores, if taskset is available. */
function pinTo(cores, command) {
  return cores !== "" && canPin() ? ["taskset", "--cpu-list", String(cores), ...command] : command;
}

/** Throws unless the cores of these options are available. In a container, only some of the machine's cores may be. */
function ensureCores(options) {
  for (const [option, cores] of Object.entries(options)) {
    if (cores === "" || !canPin()) continue;
    for (const core of cores.split(",")) {
      const { status, stderr } = spawnSync("taskset", ["--cpu-list", core, "true"], { encoding: "utf8" });
      if (status !== 0)
        throw new StartError(
          `--${option} ${cores}: core ${core} is not available (${stderr.trim().split("\n").at(-1)}); use --${option} '' for any`,
        );
    }
  }
}

module.exports = { canPin, ensureCores, pinTo };
