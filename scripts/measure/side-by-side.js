#!/usr/bin/env node
"use strict";
const HELP = `Compare handlers in several languages: same requests, one core each, state in memory.

Usage: node scripts/measure/side-by-side.js [options]

Measurement:
  --rounds N         rounds of each measurement; the handlers take turns [default: 3]
  --sizes LIST       events per batch [default: 1,100,1000]
  --forms LIST       form of the requests: with Content-Length; chunked, like the host's; typed: chunked, with events that
                     have a content type [default: length,chunked,typed]
  --seconds S        measured time of a round, in whole seconds [default: 4]
  --warm S           warm-up time in seconds before it [default: 2]
  --connections N    connections, each of which is a partition with one batch in flight [default: 8]
  --devices N        devices per partition [default: 100]
  --only LIST        subset of: devicestate, node, go, python

Cores:
  --handler-core N   core of the handler, or several such as 0,1; empty for any [default: 0]
  --driver-core N    core of the driver, or several; empty for any [default: 1]

Programs:
  --binary PATH      devicestate program [default: target/dist/devicestate]
  --driver PATH      load driver [default: target/dist/load]
  --peers DIR        folder of the other handlers [default: benches/peers]

Output:
  --results FILE     new file for the raw results [default: benches/results/<date and time>-side-by-side.json]
  -o, --output FMT   output format: table, json (one object) or jsonl (the results on one line) [default: table]

Each round starts a new handler with the same minimal environment. Before the first round each other handler is started
once with the environment of this command, to build or install what it needs. If that fails, the handler is skipped, and
the results contain the reason.

Examples:
  node scripts/measure/side-by-side.js
  node scripts/measure/side-by-side.js --only devicestate,go --sizes 100 --rounds 5
  node scripts/measure/side-by-side.js --rounds 1 --seconds 1 --warm 0 --results side-by-side.json

Exit codes: 0 if all counts agree, 1 if some do not or a round failed, 2 if it could not start. A skipped handler is not
a failure.`;

const { join, resolve } = require("node:path");
const { ensureCores } = require("./cores.js");
const { spread } = require("./figures.js");
const { Handler, product } = require("./handler.js");
const { binary, driver, load, withHandler } = require("./load.js");
const { ROOT, StartError, main, progress } = require("./options.js");
const { startResults } = require("./results.js");
const { RoundError, validOnly } = require("./rounds.js");
const { tables } = require("./side-by-side/report.js");

/** The forms of requests, with the driver's options. */
const FORMS = {
  length: ["--content-length"],
  chunked: [],
  typed: ["--content-type", "application/json"],
};

const DEFAULTS = {
  rounds: 3,
  sizes: [1, 100, 1000],
  forms: Object.keys(FORMS),
  seconds: 4,
  warm: 2,
  connections: 8,
  devices: 100,
  only: ["devicestate", "node", "go", "python"],
  handlerCore: "0",
  driverCore: "1",
  binary: join(ROOT, "target/dist/devicestate"),
  driver: join(ROOT, "target/dist/load"),
  peers: join(ROOT, "benches/peers"),
};

/** The time limit for building and installing a handler, in milliseconds. */
const BUILD_TIMEOUT_MS = 300_000;

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new StartError(`--only must be one of ${DEFAULTS.only.join(", ")}, not "${unknown}"`);
  const unknownForm = options.forms.find((form) => !(form in FORMS));
  if (unknownForm) throw new StartError(`--forms must be of ${DEFAULTS.forms.join(", ")}, not "${unknownForm}"`);
  const path = driver(options.driver);
  const own = options.only.includes("devicestate") ? binary(options.binary) : null;
  const { handlerCore, driverCore } = options;
  ensureCores({ "handler-core": handlerCore, "driver-core": driverCore });
  const { results, save, finish } = startResults("side-by-side", options, { handlers: [], skipped: [], rounds: [], summary: [] });
  const handlers = await prepare(own, options, results);
  for (let round = 1; round <= options.rounds; round++) {
    for (const [events, form] of options.sizes.flatMap((size) => options.forms.map((form) => [size, form]))) {
      for (const { name, program } of handlers) {
        progress(`round ${round} of ${options.rounds}: ${name}, ${events} events per batch, ${form}`);
        results.rounds.push({ round, name, events, form, ...(await measureRound(program, path, events, form, options)) });
        results.summary = summary(results.rounds);
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
async function prepare(own, { only, peers, handlerCore: cores }, results) {
  const handlers = [];
  for (const name of only) {
    const program =
      name === "devicestate"
        ? product(own, { StateStore: "memory", Telemetry: "drone" }, cores)
        : { command: [resolve(peers, name, "run")], settings: {}, cores };
    if (name !== "devicestate") {
      progress(`${name}: building`);
      try {
        await (await Handler.start({ ...program, inherited: process.env, timeoutMs: BUILD_TIMEOUT_MS })).stop();
      } catch (error) {
        if (!(error instanceof RoundError)) throw error;
        results.skipped.push({ name, reason: error.message });
        continue;
      }
    }
    handlers.push({ name, program });
    results.handlers.push({ name, command: program.command.join(" "), settings: program.settings });
  }
  return handlers;
}

/** Runs one round with a new handler. */
const measureRound = (program, path, events, form, { seconds, warm, connections, devices, driverCore: cores }) =>
  withHandler(program, (handler) =>
    load(path, handler, cores, { events, devices, connections, seconds, warm }, FORMS[form]),
  );

/** Returns median, minimum and maximum of all valid rounds, for each handler, size and form. */
function summary(rounds) {
  const groups = new Map();
  for (const round of rounds) {
    const key = `${round.name} ${round.events} ${round.form}`;
    groups.set(key, [...(groups.get(key) ?? []), round]);
  }
  return [...groups.values()].map((group) => {
    const [{ name, events, form }] = group;
    const of = (figure) => spread(validOnly(group).map(figure));
    return {
      name,
      events,
      form,
      validRounds: validOnly(group).length,
      eventsPerSecond: of((round) => round.eventsPerSecond),
      nsPerEvent: of((round) => round.handler?.nsPerEvent),
      p50Ms: of((round) => round.latencyMs?.p50),
      p99Ms: of((round) => round.latencyMs?.p99),
      peakBytes: of((round) => round.handler?.peakBytes),
      driverCpuPercent: of((round) => round.driverCpuPercent),
    };
  });
}

main("side-by-side.js", HELP, DEFAULTS, measure);
