#!/usr/bin/env node
"use strict";
const HELP = `Measures the whole system on this machine: runs of devicestate local, start time, idle memory, size.

Usage: node scripts/measure/end-to-end.js [options]

  --only LIST        only these: keys, aircraft, cosmos, ordering, start, memory, size
  --rounds N         how often each run is repeated [default: 5]
  --starts N         how often the handler is started [default: 50]
  --events N         events of the simulated fleet of 100 devices [default: 100000]
  --cores LIST       the cores of a run, of host, handler and hub together; nothing for any [default: 0,1]
  --binary PATH      the product [default: target/dist/devicestate]
  --ordering PATH    the ordering experiment [default: target/dist/ordering]
  --listener PATH    the Cosmos account [default: target/cosmos-listener/release/cosmos-listener]
  --driver PATH      what sends the batch of which the memory is told [default: target/dist/load]
  --output FILE      the raw results, which are a new file [default: benches/results/<date and time>-end-to-end.json]
  --format FORMAT    how to print them: table or json [default: table]

What is not built is left out, and the results say so. Each figure comes with the command that measured it.

Examples:
  node scripts/measure/end-to-end.js
  node scripts/measure/end-to-end.js --only keys,aircraft --rounds 10
  node scripts/measure/end-to-end.js --only start --starts 200 --format json

Exit codes: 0 every event of every run is accounted for, 1 some are not or something failed, 2 it could not begin.`;

const { join } = require("node:path");
const { ensureCores } = require("./cores.js");
const { memory, size, starts } = require("./end-to-end/handler-alone.js");
const { tables } = require("./end-to-end/report.js");
const { aircraft, cosmos, ensureHandler, keys, ordering } = require("./end-to-end/runs.js");
const { binary } = require("./load.js");
const { CannotBegin, ROOT, main, progress } = require("./options.js");
const { begin } = require("./results.js");

const PARTS = { keys, aircraft, cosmos, ordering, start: starts, memory, size };

/** Those that devicestate local plays. */
const RUNS = ["keys", "aircraft", "cosmos"];

const DEFAULTS = {
  only: Object.keys(PARTS),
  rounds: 5,
  starts: 50,
  events: 100_000,
  cores: "0,1",
  binary: join(ROOT, "target/dist/devicestate"),
  driver: join(ROOT, "target/dist/load"),
  ordering: join(ROOT, "target/dist/ordering"),
  listener: join(ROOT, "target/cosmos-listener/release/cosmos-listener"),
};

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new CannotBegin(`--only takes ${DEFAULTS.only.join(", ")}, and not ${unknown}`);
  const given = { ...options, binary: binary(options.binary) };
  if (RUNS.some((name) => options.only.includes(name))) ensureHandler(given.binary);
  ensureCores({ cores: options.cores });
  const { results, keep, conclude } = begin("end-to-end", options, { leftOut: [], parts: {} });
  for (const name of options.only) {
    progress(name);
    const tell = (part) => {
      results.parts[name] = part;
      keep();
    };
    try {
      await PARTS[name]({ ...given, tell });
    } catch (error) {
      // A program that is not built; that of the product itself was looked for before.
      if (!(error instanceof CannotBegin)) throw error;
      results.leftOut.push({ part: name, reason: error.message });
    }
  }
  conclude(tables);
  return Object.values(results.parts).every(({ isRight }) => isRight);
}

main("end-to-end.js", HELP, DEFAULTS, measure);
