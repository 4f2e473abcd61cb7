#!/usr/bin/env node
"use strict";
const HELP = `Measures what the handler costs as work grows: processor time of an event and of a byte, memory, waiting.

Usage: node scripts/measure/growth.js [options]

  --only LIST        only these curves: batch, devices-sqlite, devices-memory, partitions, body, hot, large
  --rounds N         how often each point is measured [default: 1]
  --seconds S        how long each measurement takes, in whole seconds [default: 4]
  --warm S           how long a handler is loaded before it [default: 1]
  --batches N        so many batches of each connection, in place of the seconds
  --largest N        leave out the points of more events, devices, partitions or bytes than this [default: all]
  --handler-core N   the core of the handler, or several as 0,1; nothing for any [default: 0]
  --driver-core N    the core of the driver, in the same way [default: 1]
  --binary PATH      the product [default: target/dist/devicestate]
  --driver PATH      the driver [default: target/dist/load]
  --output FILE      the raw results, which are a new file [default: benches/results/<date and time>-growth.json]
  --format FORMAT    how to print them: table or json [default: table]

A curve ends with the ratio of its last point to its first, and to the one before it: 1 where the cost of a unit stays the
same, so that all of it is linear; below 1 where a larger piece is cheaper for what is in it. A million devices get two
million events before they are measured, which takes SQLite minutes.

Examples:
  node scripts/measure/growth.js
  node scripts/measure/growth.js --only devices-sqlite --rounds 3
  node scripts/measure/growth.js --only batch,body --largest 1000 --batches 20 --output /tmp/growth.json

Exit codes: 0 all counts agree, 1 some do not or something failed, 2 it could not begin.`;

const { join } = require("node:path");
const { ensureCores } = require("./cores.js");
const { median, ratio } = require("./figures.js");
const { CURVES } = require("./growth/curves.js");
const { tables } = require("./growth/report.js");
const { product } = require("./handler.js");
const { inFolder } = require("./leftovers.js");
const { binary, driver, load, withHandler } = require("./load.js");
const { CannotBegin, ROOT, main, progress } = require("./options.js");
const { begin } = require("./results.js");
const { right } = require("./rounds.js");

const DEFAULTS = {
  only: CURVES.map(({ name }) => name),
  rounds: 1,
  seconds: 4,
  warm: 1,
  batches: 0,
  largest: Infinity,
  "handler-core": "0",
  "driver-core": "1",
  binary: join(ROOT, "target/dist/devicestate"),
  driver: join(ROOT, "target/dist/load"),
};

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new CannotBegin(`--only takes ${DEFAULTS.only.join(", ")}, and not ${unknown}`);
  const programs = { product: binary(options.binary), driver: driver(options.driver) };
  const { "handler-core": handlerCore, "driver-core": driverCore } = options;
  ensureCores({ "handler-core": handlerCore, "driver-core": driverCore });
  const { results, keep, conclude } = begin("growth", options, { curves: [] });
  for (const { name, title, unit, cost, settings, points } of CURVES.filter(({ name }) => options.only.includes(name))) {
    const curve = { name, title, unit, cost, settings: serve(programs, settings).settings, points: [] };
    results.curves.push(curve);
    for (const point of points.filter(({ at }) => at <= options.largest)) {
      const rounds = [];
      curve.points.push({ ...point, rounds });
      for (let round = 1; round <= options.rounds; round++) {
        progress(`${name}: ${point.label ?? `${point.at} ${unit}`}, round ${round} of ${options.rounds}`);
        rounds.push({ round, ...(await measured(settings, point, programs, options)) });
        compare(curve);
        keep();
      }
    }
    // A curve may have no points that are small enough.
    compare(curve);
  }
  conclude(tables);
  return results.curves.every(({ points }) => points.every(({ rounds }) => rounds.every(({ isRight }) => isRight)));
}

/** Tells what is known of a curve: the figures of each point, from how many rounds of how long, and how they compare. */
function compare(curve) {
  const { cost, points } = curve;
  for (const point of points) {
    const counted = right(point.rounds);
    const seconds = median(counted.map(({ seconds }) => seconds).filter(Number.isFinite));
    Object.assign(point, { roundsCounted: counted.length, secondsOfEach: seconds, figures: figures(counted) });
  }
  const of = (point) => point?.figures[cost];
  for (const point of points) point.ratio = ratio(of(points[point.base ?? 0]), of(point));
  curve.lastToFirst = points.at(-1)?.ratio ?? null;
  curve.lastToBefore = ratio(of(points.at(-2)), of(points.at(-1)));
}

/** The product with these settings. */
const serve = (programs, settings, cores) => product(programs.product, settings, cores);

/** One measurement of a point, with a handler and a store of its own. */
const measured = (settings, { load: more, cores, fill }, programs, options) =>
  inFolder((folder) => {
    const file = settings.StateStore === "sqlite" ? { SqlitePath: join(folder, "state.db") } : {};
    const program = serve(programs, { ...settings, ...file }, cores ?? options["handler-core"]);
    return withHandler(program, async (handler) => {
      const { seconds, warm, batches } = options;
      const of = { connections: 8, devices: 100, ...more };
      const loaded = (until) => load(programs.driver, handler, options["driver-core"], { ...of, ...until });
      const filled = fill ? await loaded({ batches: fill }) : undefined;
      if (filled?.isRight === false) return filled;
      return { ...(await loaded(batches ? { batches } : { seconds, warm })), filled };
    });
  });

/** The medians of these rounds; of bytes where the size of a body is told. */
function figures(rounds) {
  const of = (figure) => median(rounds.map(figure).filter(Number.isFinite));
  return {
    eventsPerSecond: of((round) => round.eventsPerSecond),
    nsPerEvent: of((round) => round.handler?.nsPerEvent),
    nsPerByte: of((round) => (round.bodyBytes ? round.handler?.nsPerEvent / round.bodyBytes : undefined)),
    p50Ms: of((round) => round.latencyMs?.p50),
    p99Ms: of((round) => round.latencyMs?.p99),
    largeP50Ms: of((round) => round.largeLatencyMs?.p50),
    largeP99Ms: of((round) => round.largeLatencyMs?.p99),
    peakBytes: of((round) => round.handler?.peakBytes),
    residentBytes: of((round) => round.handler?.residentBytes),
    handlerCpuPercent: of((round) => round.handler?.cpuPercent),
    driverCpuPercent: of((round) => round.driverCpuPercent),
  };
}

main("growth.js", HELP, DEFAULTS, measure);
