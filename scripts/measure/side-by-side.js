#!/usr/bin/env node
"use strict";
const HELP = `Measures handlers of several languages side by side: the same requests, one core each, their state in memory.

Usage: node scripts/measure/side-by-side.js [options]

  --rounds N         how often each is measured, in turns [default: 3]
  --sizes LIST       events of a batch [default: 1,100,1000]
  --framings LIST    how bodies come: chunked as from the host, or with their length [default: chunked,length]
  --seconds S        how long each measurement takes, in whole seconds [default: 4]
  --warm S           how long a handler is loaded before it [default: 2]
  --connections N    batches in flight at once, each of a partition of its own [default: 8]
  --devices N        devices of a partition [default: 100]
  --only LIST        only these: devicestate, node, go, python
  --handler-core N   the core of the handler, or several as 0,1; nothing for any [default: 0]
  --driver-core N    the core of the driver, in the same way [default: 1]
  --binary PATH      the product [default: target/release/devicestate]
  --driver PATH      the driver [default: target/release/examples/load]
  --peers DIR        the other handlers [default: benches/peers]
  --output FILE      the raw results [default: benches/results/<date>-side-by-side.json]
  --format FORMAT    how to print them: table or json [default: table]

A handler starts anew for each measurement. Before the first round each peer is started once: it builds or installs what
it lacks. One that cannot be built here is left out, and the results say why.

Examples:
  node scripts/measure/side-by-side.js
  node scripts/measure/side-by-side.js --only devicestate,go --sizes 100 --rounds 5
  node scripts/measure/side-by-side.js --rounds 1 --seconds 1 --warm 0 --output /tmp/side-by-side.json

Exit codes: 0 all counts agree, 1 some do not or something failed, 2 it could not begin. One left out is no failure.`;

const { join, resolve } = require("node:path");
const { ratio, spread } = require("./figures.js");
const { Handler, product } = require("./handler.js");
const { binary, driver, load } = require("./load.js");
const { describe, machine } = require("./machine.js");
const { CannotBegin, ROOT, conclude, main, progress } = require("./options.js");
const { mebibytes, number, table } = require("./tables.js");

const DEFAULTS = {
  rounds: 3,
  sizes: [1, 100, 1000],
  framings: ["chunked", "length"],
  seconds: 4,
  warm: 2,
  connections: 8,
  devices: 100,
  only: ["devicestate", "node", "go", "python"],
  "handler-core": "0",
  "driver-core": "1",
  binary: join(ROOT, "target/release/devicestate"),
  driver: join(ROOT, "target/release/examples/load"),
  peers: join(ROOT, "benches/peers"),
};

/** Building and installing takes so long at the most, in milliseconds. */
const BUILD = 300_000;

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new CannotBegin(`--only takes ${DEFAULTS.only.join(", ")}, and not ${unknown}`);
  const strange = options.framings.find((framing) => !DEFAULTS.framings.includes(framing));
  if (strange) throw new CannotBegin(`--framings takes ${DEFAULTS.framings.join(", ")}, and not ${strange}`);
  const path = driver(options.driver);
  const results = { what: "side-by-side", machine: machine(), options, leftOut: [], rounds: [] };
  const handlers = await prepared(options, results);
  for (let round = 1; round <= options.rounds; round++) {
    for (const [events, framing] of options.sizes.flatMap((size) => options.framings.map((way) => [size, way]))) {
      for (const { name, program } of handlers) {
        progress(`round ${round} of ${options.rounds}: ${name}, ${events} events a batch, ${framing}`);
        const figures = await measured(program, path, { events, framing }, options);
        results.rounds.push({ round, who: name, framing, ...figures });
      }
    }
  }
  results.summary = summary(results);
  conclude("side-by-side", results, options, tables);
  return results.rounds.every(({ isRight }) => isRight);
}

/** The programs, each started once; those that do not start are left out. */
async function prepared({ only, binary: path, peers, "handler-core": cores }, results) {
  const handlers = [];
  for (const name of only) {
    if (name === "devicestate") {
      handlers.push({ name, program: product(binary(path), { StateStore: "memory" }, cores) });
      continue;
    }
    progress(`${name}: what it lacks is built`);
    const program = { command: [resolve(peers, name, "run")], environment: process.env, cores };
    try {
      await (await Handler.start({ ...program, within: BUILD })).stop();
      handlers.push({ name, program });
    } catch ({ message }) {
      results.leftOut.push({ who: name, reason: message });
    }
  }
  return handlers;
}

async function measured(program, path, { events, framing }, options) {
  const { seconds, warm, connections, devices, "driver-core": cores } = options;
  const handler = await Handler.start(program);
  try {
    const flags = framing === "length" ? ["--content-length"] : [];
    return await load(path, handler, cores, { events, devices, connections, seconds, warm }, flags);
  } finally {
    await handler.stop();
  }
}

/** For each handler, size and framing: the median, the least and the most of all rounds. */
function summary({ rounds }) {
  const groups = new Map();
  for (const round of rounds) {
    const key = `${round.who} ${round.events} ${round.framing}`;
    groups.set(key, [...(groups.get(key) ?? []), round]);
  }
  return [...groups.values()].map((group) => {
    const of = (figure) => spread(group.map(figure));
    return {
      who: group[0].who,
      events: group[0].events,
      framing: group[0].framing,
      eventsPerSecond: of((round) => round.eventsPerSecond),
      nsPerEvent: of((round) => round.handler?.nsPerEvent),
      p50Ms: of((round) => round.latencyMs?.p50),
      p99Ms: of((round) => round.latencyMs?.p99),
      peakBytes: of((round) => round.handler?.peakBytes),
      driverCpuPercent: of((round) => round.driverCpuPercent),
    };
  });
}

function tables({ machine, options, leftOut, summary, rounds }) {
  const fastest = new Map();
  const group = ({ events, framing }) => `${events} ${framing}`;
  for (const row of summary) {
    fastest.set(group(row), Math.max(fastest.get(group(row)) ?? 0, row.eventsPerSecond?.median ?? 0));
  }
  const sorted = summary.toSorted((a, b) => a.events - b.events || a.framing.localeCompare(b.framing));
  const rows = sorted.map((row) => [
    row.who,
    number(row.events),
    row.framing,
    number(row.eventsPerSecond?.median),
    number(row.eventsPerSecond?.min),
    number(row.eventsPerSecond?.max),
    number(ratio(fastest.get(group(row)), row.eventsPerSecond?.median), 2),
    number(row.nsPerEvent?.median),
    number(row.p50Ms?.median, 2),
    number(row.p99Ms?.median, 2),
    mebibytes(row.peakBytes?.median),
    `${number(row.driverCpuPercent?.median)} %`,
  ]);
  const head = [
    "HANDLER",
    "EVENTS A BATCH",
    "FRAMING",
    "EVENTS/S",
    "LEAST",
    "MOST",
    "OF THE FASTEST",
    "CPU NS/EVENT",
    "P50 MS",
    "P99 MS",
    "PEAK",
    "DRIVER",
  ];
  const wrong = rounds.filter(({ isRight }) => !isRight);
  return [
    describe(machine),
    `${options.rounds} rounds; ${options.connections} connections, ${options.devices} devices of each; the handler on core ` +
      `${options["handler-core"]}, the driver on core ${options["driver-core"]}. A driver near 100 % was the limit itself.`,
    table(head, rows),
    ...leftOut.map(({ who, reason }) => `Left out: ${who}: ${reason}`),
    wrong.length
      ? `Counts that do not agree: ${wrong.map(({ who, complaint }) => `${who}: ${complaint}`).join("; ")}`
      : "All counts agree.",
  ];
}

main("side-by-side.js", HELP, DEFAULTS, measure);
