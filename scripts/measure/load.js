// Runs the load driver (tools/load) against a handler.
"use strict";

const { accessSync, constants } = require("node:fs");
const { resolve } = require("node:path");
const { text } = require("node:stream/consumers");
const { pinTo } = require("./cores.js");
const { Handler, BASE_ENVIRONMENT } = require("./handler.js");
const { startProcess } = require("./leftovers.js");
const { StartError, displayPath, kebab } = require("./options.js");
const { failedRound } = require("./rounds.js");

/** Returns the path of a program. Throws, with the command that builds it, if it does not exist. */
function program(path, build) {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new StartError(`${displayPath(resolve(path))} does not exist; run ${build}`);
  }
  return resolve(path);
}

const binary = (path) => program(path, "cargo build --profile dist --package devicestate, or use --binary PATH");
const driver = (path) => program(path, "cargo build --profile dist --package devicestate-load, or use --driver PATH");

/** The driver's exit code if it could not start. */
const NOT_STARTED = 2;

/** Returns the arguments for these options of the driver, without undefined ones. */
function toArgs(options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return given.flatMap(([name, value]) => [`--${kebab(name)}`, String(value)]);
}

/** Runs a program to its end, and returns its exit code and output. */
async function run(command, options = {}) {
  const child = startProcess(command, { env: BASE_ENVIRONMENT, stdio: ["ignore", "pipe", "pipe"], ...options });
  const ended = new Promise((done, failed) => child.on("error", failed).on("close", done));
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/**
 * Drives a handler and returns the driver's report. `isValid` says whether the handler's own counts agree with the events
 * sent; if not, or if the driver could not start, `error` has the reason.
 */
async function load(path, handler, cores, options, flags = []) {
  const url = `http://127.0.0.1:${handler.port}`;
  const command = [path, ...toArgs({ url, pid: handler.pid, ...options, output: "jsonl" }), ...flags];
  const { code, stdout, stderr } = await run(pinTo(cores, command));
  if (code === 0) return { ...JSON.parse(stdout), isValid: true };
  const message = (stderr.trim() || handler.lastLine()).replace(/^load: /gm, "").replaceAll("\n", "; ");
  const error = code === NOT_STARTED ? `the driver could not start: ${message}` : message;
  // If the counts do not agree, there is a report. If the handler failed, there is none.
  return { ...options, ...(stdout.trim() ? JSON.parse(stdout) : {}), isValid: false, error };
}

/** Runs a round with a new handler, which is killed at the end. */
async function withHandler(program, use) {
  let handler;
  try {
    handler = await Handler.start(program);
    return await use(handler);
  } catch (error) {
    return failedRound(error);
  } finally {
    await handler?.stop();
  }
}

module.exports = { binary, driver, load, program, run, withHandler };
