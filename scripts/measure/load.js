// The driver: tools/load, which sends batches as the host does, and counts what comes of them.
"use strict";

const { accessSync, constants } = require("node:fs");
const { resolve } = require("node:path");
const { text } = require("node:stream/consumers");
const { pinned } = require("./cores.js");
const { Handler, PLAIN } = require("./handler.js");
const { child: started } = require("./leftovers.js");
const { CannotBegin, shown } = require("./options.js");
const { notRight } = require("./rounds.js");

/** Makes sure that a program is there, and says how it comes there. */
function program(path, build) {
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new CannotBegin(`there is no ${shown(resolve(path))}: ${build}`);
  }
  return resolve(path);
}

const binary = (path) => program(path, "cargo build --profile dist --package devicestate, or --binary PATH");
const driver = (path) => program(path, "cargo build --profile dist --package devicestate-load, or --driver PATH");

/** The driver's exit code where nothing was sent yet. */
const CANNOT_BEGIN = 2;

/** The words for these options of the driver; those without a value are left out. */
function words(options) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return given.flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/** Ends a program and gives back its exit code and what it said. */
async function run(command, options = {}) {
  const child = started(command, { env: PLAIN, stdio: ["ignore", "pipe", "pipe"], ...options });
  const ended = new Promise((done, failed) => child.on("error", failed).on("close", done));
  const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { code, stdout, stderr };
}

/**
 * Loads a handler, and gives back what the driver tells. `isRight` says that the handler's own counts agree with what was
 * sent to it; `complaint` is there where they do not, or where the driver could not even begin.
 */
async function load(path, handler, cores, options, flags = []) {
  const url = `http://127.0.0.1:${handler.port}`;
  const command = [path, ...words({ url, pid: handler.pid, ...options, format: "json" }), ...flags];
  const { code, stdout, stderr } = await run(pinned(cores, command));
  if (code === 0) return { ...JSON.parse(stdout), isRight: true };
  const said = (stderr.trim() || handler.lastWords()).replace(/^load: /gm, "").replaceAll("\n", "; ");
  const complaint = code === CANNOT_BEGIN ? `the driver could not begin: ${said}` : said;
  // Counts that do not agree are told with the rest; where the handler itself failed there is no rest.
  return { ...options, ...(stdout.trim() ? JSON.parse(stdout) : {}), isRight: false, complaint };
}

/** One round: a handler that starts anew for it, is used, and is killed. */
async function withHandler(program, use) {
  let handler;
  try {
    handler = await Handler.start(program);
    return await use(handler);
  } catch (error) {
    return notRight(error);
  } finally {
    await handler?.stop();
  }
}

module.exports = { binary, driver, load, program, run, withHandler };
