#!/usr/bin/env node
"use strict";
const HELP = `Compare handlers in several languages: same requests, one core each, state in memory; the product also with SQLite.

Usage: node scripts/measure/side-by-side.js [options]

Measurement:
  --rounds N         rounds of each measurement; the handlers take turns [default: 3]
  --sizes LIST       events per batch [default: 1,100,1000]
  --forms LIST       form of the requests: with Content-Length; chunked, like the host's; typed: chunked, with events that
                     have a content type; packed: typed, with 8 records per event, for the product only
                     [default: length,chunked,typed]
  --seconds S        measured time of a round, in whole seconds [default: 4]
  --warm S           warm-up time in seconds before it [default: 2]
  --connections N    connections, each of which is a partition with one batch in flight [default: 8]
  --devices N        devices per partition [default: 100]
  --only LIST        subset of: devicestate, devicestate-sqlite, node, go, python [default: all]

Cores:
  --handler-core N   core of the handler, or several such as 0,1; empty for any [default: 0]
  --driver-core N    core of the driver, or several; empty for any [default: 1]

Programs:
  --binary PATH      devicestate program [default: target/dist/devicestate]
  --before PATH      a second devicestate program, which takes part as before and before-sqlite
  --driver PATH      load driver [default: target/dist/load]
  --peers DIR        folder of the other handlers [default: benches/peers]

Output:
  --results FILE     new file for the raw results [default: benches/results/<date and time>-side-by-side.json]
  -o, --output FMT   output format: table, json (one object) or jsonl (the results on one line) [default: table]

Each round starts a new handler with the same minimal environment, and SQLite with a new file. Before the first round each
other handler is started once with the environment of this command, to build or install what it needs. If that fails, the
handler is skipped, and the results contain the reason.

A ratio is that of two handlers in the same round. "best peer" is the fastest of node, go and python in that round.

Examples:
  node scripts/measure/side-by-side.js
  node scripts/measure/side-by-side.js --only devicestate,go --sizes 100 --rounds 5
  node scripts/measure/side-by-side.js --forms typed,packed --rounds 5 --before ../before/target/dist/devicestate
  node scripts/measure/side-by-side.js --rounds 1 --seconds 1 --warm 0 --results side-by-side.json

Exit codes: 0 if all counts agree, 1 if some do not or a round failed, 2 if it could not start. A skipped handler is not
a failure.`;

const { join, resolve } = require("node:path");
const { ensureCores } = require("./cores.js");
const { Handler, product } = require("./handler.js");
const { withFolder } = require("./leftovers.js");
const { binary, driver, load, withHandler } = require("./load.js");
const { ROOT, StartError, main, progress } = require("./options.js");
const { startResults } = require("./results.js");
const { RoundError } = require("./rounds.js");
const { tables } = require("./side-by-side/report.js");
const { PEERS, ratios, summary } = require("./side-by-side/summary.js");

const TYPED = ["--content-type", "application/json"];

/** The forms of requests: the driver's options, and the product's telemetry. Drones send one record per event. */
const FORMS = {
  length: { flags: ["--content-length"], telemetry: "drone" },
  chunked: { flags: [], telemetry: "drone" },
  typed: { flags: TYPED, telemetry: "drone" },
  packed: { flags: [...TYPED, "--pack", "8"], telemetry: "json", isForPeers: false },
};

/** The product's handlers, with their stores. */
const STORES = { devicestate: "memory", "devicestate-sqlite": "sqlite" };

const DEFAULTS = {
  rounds: 3,
  sizes: [1, 100, 1000],
  forms: ["length", "chunked", "typed"],
  seconds: 4,
  warm: 2,
  connections: 8,
  devices: 100,
  only: [...Object.keys(STORES), ...PEERS],
  handlerCore: "0",
  driverCore: "1",
  binary: join(ROOT, "target/dist/devicestate"),
  before: "",
  driver: join(ROOT, "target/dist/load"),
  peers: join(ROOT, "benches/peers"),
};

/** The time limit for building and installing a handler, in milliseconds. */
const BUILD_TIMEOUT_MS = 300_000;

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new StartError(`--only must be one of ${DEFAULTS.only.join(", ")}, not "${unknown}"`);
  const unknownForm = options.forms.find((form) => !(form in FORMS));
  if (unknownForm) throw new StartError(`--forms must be of ${Object.keys(FORMS).join(", ")}, not "${unknownForm}"`);
  const path = driver(options.driver);
  const isMeasured = options.only.some((name) => name in STORES);
  const own = isMeasured ? binary(options.binary) : null;
  const before = isMeasured && options.before ? binary(options.before) : null;
  const { handlerCore, driverCore } = options;
  ensureCores({ "handler-core": handlerCore, "driver-core": driverCore });
  const lists = { handlers: [], skipped: [], rounds: [], summary: [], ratios: [] };
  const { results, save, finish } = startResults("side-by-side", options, lists);
  const handlers = await prepare(own, before, options, results);
  for (let round = 1; round <= options.rounds; round++) {
    for (const [events, form] of options.sizes.flatMap((size) => options.forms.map((form) => [size, form]))) {
      for (const { name, program } of handlers) {
        if (PEERS.includes(name) && FORMS[form].isForPeers === false) continue;
        progress(`round ${round} of ${options.rounds}: ${name}, ${events} events per batch, ${form}`);
        results.rounds.push({ round, name, events, form, ...(await measureRound(program, path, events, form, options)) });
        Object.assign(results, { summary: summary(results.rounds), ratios: ratios(results.rounds) });
        save();
      }
    }
  }
  return finish(
    results.rounds.every(({ isValid }) => isValid),
    tables,
  );
}

/**
 * Returns the programs and adds them to the results. Each peer is started once, with the complete environment, to build what
 * it needs; if it does not start, it is skipped.
 */
async function prepare(own, before, { only, peers, handlerCore: cores }, results) {
  const handlers = [];
  const add = (name, program, runtime = null) => {
    handlers.push({ name, program });
    results.handlers.push({ name, command: program.command.join(" "), settings: program.settings, runtime });
  };
  for (const name of only) {
    if (name in STORES) {
      const settings = { StateStore: STORES[name], Telemetry: "drone" };
      add(name, product(own, settings, cores));
      if (before) add(name.replace("devicestate", "before"), product(before, settings, cores));
      continue;
    }
    const program = { command: [resolve(peers, name, "run")], settings: {}, cores };
    progress(`${name}: building`);
    try {
      const inherited = { ...process.env, PEERS_INSTALL: "1" };
      const handler = await Handler.start({ ...program, inherited, timeoutMs: BUILD_TIMEOUT_MS });
      await handler.stop();
      add(name, program, handler.runtime);
    } catch (error) {
      if (!(error instanceof RoundError)) throw error;
      results.skipped.push({ name, reason: error.message });
    }
  }
  return handlers;
}

/** Runs one round with a new handler. */
const measureRound = (program, path, events, form, { seconds, warm, connections, devices, driverCore: cores }) =>
  withFolder((folder) => {
    const { flags, telemetry } = FORMS[form];
    const { StateStore } = program.settings;
    const settings = {
      ...program.settings,
      ...(StateStore && { Telemetry: telemetry }),
      ...(StateStore === "sqlite" && { SqlitePath: join(folder, "state.db") }),
    };
    return withHandler({ ...program, settings }, (handler) =>
      load(path, handler, cores, { events, devices, connections, seconds, warm }, flags),
    );
  });

main("side-by-side.js", HELP, DEFAULTS, measure);
