// The handler by itself: how soon it answers, what it takes when nothing happens, how large it is.
"use strict";

const { cpSync, statSync } = require("node:fs");
const { join } = require("node:path");
const { median, quantile } = require("../figures.js");
const { product } = require("../handler.js");
const { inFolder } = require("../leftovers.js");
const { driver, load, withHandler } = require("../load.js");
const { ROOT, progress, shown } = require("../options.js");
const { right } = require("../rounds.js");

const FUNCTION = "RawTelemetryFunction";

const SETTINGS = { StateStore: "memory" };

const serve = (binary, appRoot) =>
  `FUNCTIONS_APP_ROOT_PATH=${appRoot} FUNCTIONS_CUSTOMHANDLER_PORT=7071 StateStore=memory ${shown(binary)} serve`;

/**
 * From the start of the process to its first answer to GET /, with the function app as it is, and with the least that it
 * starts with.
 */
const starts = ({ binary, starts: count, cores, tell }) =>
  inFolder(async (least) => {
    for (const file of ["host.json", FUNCTION]) cpSync(join(ROOT, file), join(least, file), { recursive: true });
    const measured = [];
    for (const [app, root, command] of [
      ["host.json and three functions", ROOT, serve(binary, ".")],
      ["host.json and one function", least, serve(binary, "that-folder")],
    ]) {
      measured.push({ app, ...(await started(binary, root, cores, count)), command });
      const complaint = measured.find(({ complaint }) => complaint)?.complaint;
      tell({ isRight: complaint === undefined, complaint, measured });
    }
  });

async function started(binary, appRoot, cores, count) {
  const rounds = [];
  for (let number = 1; number <= count; number++) {
    progress(`start ${number} of ${count}`);
    const program = product(binary, SETTINGS, cores, appRoot);
    rounds.push(await withHandler(program, ({ startMs }) => ({ isRight: true, startMs })));
  }
  const ms = right(rounds).map(({ startMs }) => startMs);
  const complaint = rounds.find(({ isRight }) => !isRight)?.complaint;
  return { starts: ms.length, medianMs: median(ms), p99Ms: quantile(ms, 0.99), complaint, ms };
}

/** What it holds when it has answered GET /, and after one batch of 1,000 events of 100 devices. */
async function memory({ binary, cores, driver: path, tell }) {
  const program = driver(path);
  const command = `${serve(binary, ".")} &  # then: grep -E 'VmRSS|VmHWM' /proc/$!/status`;
  const batch = { events: 1_000, devices: 100, connections: 1, batches: 1 };
  const round = await withHandler(product(binary, SETTINGS, cores), async (handler) => {
    const afterStart = handler.memory();
    const { isRight, complaint, handler: afterBatch } = await load(program, handler, cores, batch);
    return { isRight, complaint, afterStart, afterBatch };
  });
  tell({ command, ...round });
}

async function size({ binary, tell }) {
  tell({ command: `stat --format %s ${shown(binary)}`, isRight: true, bytes: statSync(binary).size });
}

module.exports = { memory, size, starts };
