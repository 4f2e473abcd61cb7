// The handler alone: start time, memory, size of the program.
"use strict";

const { cpSync, statSync } = require("node:fs");
const { join } = require("node:path");
const { median, quantile } = require("../figures.js");
const { product } = require("../handler.js");
const { withFolder } = require("../leftovers.js");
const { driver, load, withHandler } = require("../load.js");
const { ROOT, progress, displayPath } = require("../options.js");
const { validOnly } = require("../rounds.js");

const FUNCTION = "RawTelemetryFunction";

const SETTINGS = { StateStore: "memory", Telemetry: "drone" };

const serve = (binary, appRoot) =>
  `FUNCTIONS_APP_ROOT_PATH=${appRoot} FUNCTIONS_CUSTOMHANDLER_PORT=7071 StateStore=memory Telemetry=drone ${displayPath(binary)} serve`;

/**
 * Measures the time from the start of the process to its first answer to GET /, with the complete function app and with a
 * minimal one.
 */
const starts = ({ binary, starts: count, cores, update }) =>
  withFolder(async (minimalApp) => {
    for (const file of ["host.json", FUNCTION]) cpSync(join(ROOT, file), join(minimalApp, file), { recursive: true });
    const measured = [];
    for (const [description, root, command] of [
      ["host.json and three functions", ROOT, serve(binary, ".")],
      ["host.json and one function", minimalApp, serve(binary, "that-folder")],
    ]) {
      measured.push({ description, ...(await measureStarts(binary, root, cores, count)), command });
      const error = measured.find(({ error }) => error)?.error;
      update({ isValid: error === undefined, error, measured });
    }
  });

async function measureStarts(binary, appRoot, cores, count) {
  const rounds = [];
  for (let number = 1; number <= count; number++) {
    progress(`start ${number} of ${count}`);
    const program = product(binary, SETTINGS, cores, appRoot);
    rounds.push(await withHandler(program, ({ startMs }) => ({ isValid: true, startMs })));
  }
  const ms = validOnly(rounds).map(({ startMs }) => startMs);
  const error = rounds.find(({ isValid }) => !isValid)?.error;
  return { starts: ms.length, medianMs: median(ms), p99Ms: quantile(ms, 0.99), error, ms };
}

/** Measures the memory after the start, and after one batch of 1,000 events of 100 devices. */
async function memory({ binary, cores, driver: path, update }) {
  const program = driver(path);
  const command = `${serve(binary, ".")} &  # then: grep -E 'VmRSS|VmHWM' /proc/$!/status`;
  const batch = { events: 1_000, devices: 100, connections: 1, batches: 1 };
  const round = await withHandler(product(binary, SETTINGS, cores), async (handler) => {
    const afterStart = handler.memory();
    const { isValid, error, handler: afterBatch } = await load(program, handler, cores, batch);
    return { isValid, error, afterStart, afterBatch };
  });
  update({ command, ...round });
}

async function size({ binary, update }) {
  update({ command: `stat --format %s ${displayPath(binary)}`, isValid: true, bytes: statSync(binary).size });
}

module.exports = { memory, size, starts };
