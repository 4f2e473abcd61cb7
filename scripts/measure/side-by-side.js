#!/usr/bin/env node
"use strict";
const HELP = `Measures handlers of several languages side by side: the same requests, one core each, their state in memory.

Usage: node scripts/measure/side-by-side.js [options]

  --rounds N         how often each is measured, in turns [default: 3]
  --sizes LIST       events of a batch [default: 1,100,1000]
  --forms LIST       how requests come: with their length, chunked as from the host, and so with events that have a
                     content type [default: length,chunked,chunked+content-type]
  --seconds S        how long each measurement takes, in whole seconds [default: 4]
  --warm S           how long a handler is loaded before it [default: 2]
  --connections N    batches in flight at once, each of a partition of its own [default: 8]
  --devices N        devices of a partition [default: 100]
  --only LIST        only these: devicestate, node, go, python
  --handler-core N   the core of the handler, or several as 0,1; nothing for any [default: 0]
  --driver-core N    the core of the driver, in the same way [default: 1]
  --binary PATH      the product [default: target/dist/devicestate]
  --driver PATH      the driver [default: target/dist/load]
  --peers DIR        the other handlers [default: benches/peers]
  --output FILE      the raw results, which are a new file [default: benches/results/<date and time>-side-by-side.json]
  --format FORMAT    how to print them: table or json [default: table]

A handler starts anew for each measurement, and each with the same plain environment. Before the first round each peer is
started once with the environment of this command: it builds or installs what it lacks. One that cannot be built here is
left out, and the results say why.

Examples:
  node scripts/measure/side-by-side.js
  node scripts/measure/side-by-side.js --only devicestate,go --sizes 100 --rounds 5
  node scripts/measure/side-by-side.js --rounds 1 --seconds 1 --warm 0 --output /tmp/side-by-side.json

Exit codes: 0 all counts agree, 1 some do not or something failed, 2 it could not begin. One left out is no failure.`;

const { join, resolve } = require("node:path");
const { ensureCores } = require("./cores.js");
const { spread } = require("./figures.js");
const { Handler, product } = require("./handler.js");
const { binary, driver, load, withHandler } = require("./load.js");
const { CannotBegin, ROOT, main, progress } = require("./options.js");
const { begin } = require("./results.js");
const { Failed, right } = require("./rounds.js");
const { tables } = require("./side-by-side/report.js");

/** How requests come, and what the driver is told for it. */
const FORMS = {
  length: ["--content-length"],
  chunked: [],
  "chunked+content-type": ["--content-type", "application/json"],
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
  "handler-core": "0",
  "driver-core": "1",
  binary: join(ROOT, "target/dist/devicestate"),
  driver: join(ROOT, "target/dist/load"),
  peers: join(ROOT, "benches/peers"),
};

/** How long building and installing may take, in milliseconds. */
const BUILD = 300_000;

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new CannotBegin(`--only takes ${DEFAULTS.only.join(", ")}, and not ${unknown}`);
  const strange = options.forms.find((form) => !(form in FORMS));
  if (strange) throw new CannotBegin(`--forms takes ${DEFAULTS.forms.join(", ")}, and not ${strange}`);
  const path = driver(options.driver);
  const own = options.only.includes("devicestate") ? binary(options.binary) : null;
  const { "handler-core": handlerCore, "driver-core": driverCore } = options;
  ensureCores({ "handler-core": handlerCore, "driver-core": driverCore });
  const { results, keep, conclude } = begin("side-by-side", options, { handlers: [], leftOut: [], rounds: [], summary: [] });
  const handlers = await prepared(own, options, results);
  for (let round = 1; round <= options.rounds; round++) {
    for (const [events, form] of options.sizes.flatMap((size) => options.forms.map((form) => [size, form]))) {
      for (const { who, program } of handlers) {
        progress(`round ${round} of ${options.rounds}: ${who}, ${events} events a batch, ${form}`);
        results.rounds.push({ round, who, events, form, ...(await measured(program, path, events, form, options)) });
        results.summary = summary(results.rounds);
        keep();
      }
    }
  }
  conclude(tables);
  return results.rounds.every(({ isRight }) => isRight);
}

/**
 * The programs, with their settings in the results. Each peer is started once, and has the whole environment for what it
 * builds; one that does not start is left out.
 */
async function prepared(own, { only, peers, "handler-core": cores }, results) {
  const handlers = [];
  for (const who of only) {
    const program =
      who === "devicestate"
        ? product(own, { StateStore: "memory" }, cores)
        : { command: [resolve(peers, who, "run")], settings: {}, cores };
    if (who !== "devicestate") {
      progress(`${who}: what it lacks is built`);
      try {
        await (await Handler.start({ ...program, inherited: process.env, within: BUILD })).stop();
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        results.leftOut.push({ who, reason: error.message });
        continue;
      }
    }
    handlers.push({ who, program });
    results.handlers.push({ who, command: program.command.join(" "), settings: program.settings });
  }
  return handlers;
}

/** A round. Each has a handler of its own, all of which inherit the same. */
const measured = (program, path, events, form, { seconds, warm, connections, devices, "driver-core": cores }) =>
  withHandler(program, (handler) =>
    load(path, handler, cores, { events, devices, connections, seconds, warm }, FORMS[form]),
  );

/** For each handler, size and form: the median, the least and the most of all rounds that are right. */
function summary(rounds) {
  const groups = new Map();
  for (const round of rounds) {
    const key = `${round.who} ${round.events} ${round.form}`;
    groups.set(key, [...(groups.get(key) ?? []), round]);
  }
  return [...groups.values()].map((group) => {
    const [{ who, events, form }] = group;
    const of = (figure) => spread(right(group).map(figure));
    return {
      who,
      events,
      form,
      roundsCounted: right(group).length,
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
