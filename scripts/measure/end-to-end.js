#!/usr/bin/env node
"use strict";
const HELP = `Measure the complete system on this machine: runs of devicestate local, start time, idle memory, size.

Usage: node scripts/measure/end-to-end.js [options]

Measurement:
  --only LIST        subset of: keys, aircraft, cosmos, ordering, start, memory, size
  --rounds N         rounds of each run [default: 5]
  --starts N         starts of the handler [default: 50]
  --events N         events of the 100 simulated devices in total [default: 100000]

Cores:
  --cores LIST       cores of a run, with host, handler and hub; empty for any [default: 0,1]

Programs:
  --binary PATH      devicestate program [default: target/dist/devicestate]
  --ordering PATH    ordering experiment [default: target/dist/ordering]
  --listener PATH    Cosmos DB account in memory [default: target/cosmos-listener/release/cosmos-listener]
  --driver PATH      load driver, for the memory after a batch [default: target/dist/load]

Output:
  --results FILE     new file for the raw results [default: benches/results/<date and time>-end-to-end.json]
  -o, --output FMT   output format: table, json (one object) or jsonl (the results on one line) [default: table]

Parts whose programs are not built are skipped, with the reason in the results. Each figure has the command that measured it.

Examples:
  node scripts/measure/end-to-end.js
  node scripts/measure/end-to-end.js --only keys,aircraft --rounds 10
  node scripts/measure/end-to-end.js --only start --starts 200 --output json

Exit codes: 0 if every event of every run is accounted for, 1 if not or if a round failed, 2 if it could not start.`;

const { join } = require("node:path");
const { ensureCores } = require("./cores.js");
const { memory, size, starts } = require("./end-to-end/handler-alone.js");
const { tables } = require("./end-to-end/report.js");
const { aircraft, cosmos, ensureHandler, keys, ordering } = require("./end-to-end/runs.js");
const { binary } = require("./load.js");
const { ROOT, StartError, main, progress } = require("./options.js");
const { startResults } = require("./results.js");

const PARTS = { keys, aircraft, cosmos, ordering, start: starts, memory, size };

/** The parts that run devicestate local. */
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
  if (unknown) throw new StartError(`--only must be one of ${DEFAULTS.only.join(", ")}, not "${unknown}"`);
  const given = { ...options, binary: binary(options.binary) };
  if (RUNS.some((name) => options.only.includes(name))) ensureHandler(given.binary);
  ensureCores({ cores: options.cores });
  const { results, save, finish } = startResults("end-to-end", options, { skipped: [], parts: {} });
  for (const name of options.only) {
    progress(name);
    const update = (part) => {
      results.parts[name] = part;
      save();
    };
    try {
      await PARTS[name]({ ...given, update });
    } catch (error) {
      // A program is not built. The product's own was checked before.
      if (!(error instanceof StartError)) throw error;
      results.skipped.push({ name, reason: error.message });
    }
  }
  return finish(
    Object.values(results.parts).every(({ isValid }) => isValid),
    tables,
  );
}

main("end-to-end.js", HELP, DEFAULTS, measure);
