// The handler by itself: how soon it answers, what it takes when nothing happens, how large it is.
"use strict";

const { cpSync, statSync } = require("node:fs");
const { join } = require("node:path");
const { median, quantile } = require("../figures.js");
const { Handler, product } = require("../handler.js");
const { inFolder } = require("../leftovers.js");
const { driver, load } = require("../load.js");
const { ROOT, progress, shown } = require("../options.js");

const FUNCTION = "RawTelemetryFunction";

const SETTINGS = { StateStore: "memory" };

const serve = (binary, appRoot) =>
  `FUNCTIONS_APP_ROOT_PATH=${appRoot} FUNCTIONS_CUSTOMHANDLER_PORT=7071 StateStore=memory ${shown(binary)} serve`;

/**
 * From the start of the process to its first answer to GET /, with the function app as it is, and with the least that it
 * starts with.
 */
const starts = ({ binary, starts: count, cores }) =>
  inFolder(async (least) => {
    for (const file of ["host.json", FUNCTION]) cpSync(join(ROOT, file), join(least, file), { recursive: true });
    const measured = [
      {
        app: "host.json and three functions",
        ...(await started(binary, ROOT, cores, count)),
        command: serve(binary, "."),
      },
      {
        app: "host.json and one function",
        ...(await started(binary, least, cores, count)),
        command: serve(binary, "that-folder"),
      },
    ];
    return { isRight: true, measured };
  });

async function started(binary, appRoot, cores, count) {
  const ms = [];
  for (let number = 1; number <= count; number++) {
    progress(`start ${number} of ${count}`);
    const handler = await Handler.start(product(binary, SETTINGS, cores, appRoot));
    ms.push(handler.startMs);
    await handler.stop();
  }
  return { starts: count, medianMs: median(ms), p99Ms: quantile(ms, 0.99), ms };
}

/** What it holds when it has answered GET /, and behind one batch of 1,000 events of 100 devices. */
async function memory({ binary, cores, driver: path }) {
  const program = driver(path);
  const handler = await Handler.start(product(binary, SETTINGS, cores));
  try {
    const afterStart = handler.memory();
    const { isRight } = await load(program, handler, cores, {
      events: 1_000,
      devices: 100,
      connections: 1,
      batches: 1,
    });
    const command = `${serve(binary, ".")} &  # then: grep -E 'VmRSS|VmHWM' /proc/$!/status`;
    return { command, isRight, afterStart, afterBatch: handler.memory() };
  } finally {
    await handler.stop();
  }
}

async function size({ binary }) {
  return { command: `stat --format %s ${shown(binary)}`, isRight: true, bytes: statSync(binary).size };
}

module.exports = { memory, size, starts };
