#!/usr/bin/env node
"use strict";
const HELP = `Measure how the cost of an event and of a byte, memory and latency grow with the work.

Usage: node scripts/measure/growth.js [options]

Measurement:
  --only LIST        subset of the curves: batch, devices-sqlite, devices-memory, partitions, body, hot, large, kinds,
                     reads
  --rounds N         rounds per point [default: 1]
  --seconds S        measured time of a round, in whole seconds [default: 4]
  --warm S           warm-up time in seconds before it [default: 1]
  --batches N        measure this many batches per connection, instead of a time
  --largest N        skip points with more events, devices, partitions or bytes than this [default: none]

Cores:
  --handler-core N   core of the handler, or several such as 0,1; empty for any [default: 0]
  --driver-core N    core of the driver, or several; empty for any [default: 1]

Programs:
  --binary PATH      devicestate program [default: target/dist/devicestate]
  --driver PATH      load driver [default: target/dist/load]

Output:
  --results FILE     new file for the raw results [default: benches/results/<date and time>-growth.json]
  -o, --output FMT   output format: table, json (one object) or jsonl (the results on one line) [default: table]

Each curve reports the ratio of its last point to its first and to the previous one: 1 if the cost per unit is constant,
below 1 if larger work is cheaper per unit. A million devices get two million events before the measurement, which takes
minutes with SQLite.

Examples:
  node scripts/measure/growth.js
  node scripts/measure/growth.js --only devices-sqlite --rounds 3
  node scripts/measure/growth.js --only batch,body --largest 1000 --batches 20 --results growth.json

Exit codes: 0 if all counts agree, 1 if some do not or a round failed, 2 if it could not start.`;

const { writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { ensureCores } = require("./cores.js");
const { median, ratio } = require("./figures.js");
const { CURVES } = require("./growth/curves.js");
const { whileReading } = require("./growth/reads.js");
const { tables } = require("./growth/report.js");
const { freePort, product } = require("./handler.js");
const { withFolder } = require("./leftovers.js");
const { binary, driver, load, withHandler } = require("./load.js");
const { ROOT, StartError, camel, main, progress } = require("./options.js");
const { startResults } = require("./results.js");
const { validOnly } = require("./rounds.js");

const DEFAULTS = {
  only: CURVES.map(({ name }) => name),
  rounds: 1,
  seconds: 4,
  warm: 1,
  batches: 0,
  largest: Infinity,
  handlerCore: "0",
  driverCore: "1",
  binary: join(ROOT, "target/dist/devicestate"),
  driver: join(ROOT, "target/dist/load"),
};

async function measure(options) {
  const unknown = options.only.find((name) => !DEFAULTS.only.includes(name));
  if (unknown) throw new StartError(`--only must be one of ${DEFAULTS.only.join(", ")}, not "${unknown}"`);
  const programs = { product: binary(options.binary), driver: driver(options.driver) };
  const { handlerCore, driverCore } = options;
  ensureCores({ "handler-core": handlerCore, "driver-core": driverCore });
  const { results, save, finish } = startResults("growth", options, { curves: [] });
  for (const { name, description, unit, cost, settings, points } of CURVES.filter(({ name }) => options.only.includes(name))) {
    const curve = { name: camel(name), description, unit, cost, settings: serve(programs, settings).settings, points: [] };
    results.curves.push(curve);
    for (const point of points.filter(({ at }) => at <= options.largest)) {
      const rounds = [];
      const { files, ...about } = point;
      curve.points.push({ ...about, rounds });
      for (let round = 1; round <= options.rounds; round++) {
        progress(`${name}: ${point.description ?? `${point.at} ${unit}`}, round ${round} of ${options.rounds}`);
        rounds.push({ round, ...(await measurePoint(settings, point, programs, options)) });
        compare(curve);
        save();
      }
    }
    // A curve may have no points up to --largest.
    compare(curve);
  }
  const rounds = results.curves.flatMap(({ points }) => points.flatMap(({ rounds }) => rounds));
  return finish(
    rounds.every(({ isValid }) => isValid),
    tables,
  );
}

/** Updates a curve: the figures of each point, its valid rounds and their time, and the ratios. */
function compare(curve) {
  const { cost, points } = curve;
  for (const point of points) {
    const counted = validOnly(point.rounds);
    const seconds = median(counted.map(({ seconds }) => seconds).filter(Number.isFinite));
    Object.assign(point, { validRounds: counted.length, secondsPerRound: seconds, figures: figures(counted, point.records) });
  }
  const of = (point) => point?.figures[cost];
  for (const point of points) point.ratio = ratio(of(points[point.base ?? 0]), of(point));
  curve.lastToFirst = points.at(-1)?.ratio ?? null;
  curve.lastToPrevious = ratio(of(points.at(-2)), of(points.at(-1)));
}

/** Returns the product with these settings. */
const serve = (programs, settings, cores) => product(programs.product, settings, cores);

/** Measures a point once, with a new handler and store. */
const measurePoint = (settings, { settings: own, files = {}, load: more, cores, fill, reads }, programs, options) =>
  withFolder(async (folder) => {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const paths = {
      ...(settings.StateStore === "sqlite" && { SqlitePath: join(folder, "state.db") }),
      ...(files["telemetry.json"] && { TelemetryFile: join(folder, "telemetry.json") }),
    };
    const program = serve(programs, { ...settings, ...own, ...paths }, cores ?? options.handlerCore);
    const api = reads ? await freePort() : undefined;
    if (api) program.command.push("--api", String(api));
    return withHandler(program, async (handler) => {
      const { seconds, warm, batches } = options;
      const of = { connections: 8, devices: 100, ...more };
      const body = files.body ? ["--body", join(folder, "body")] : [];
      const loaded = (until) => load(programs.driver, handler, options.driverCore, { ...of, ...until }, body);
      const filled = fill ? await loaded({ batches: fill }) : undefined;
      if (filled?.isValid === false) return filled;
      const measured = () => loaded(batches ? { batches } : { seconds, warm });
      return { ...(await (api ? whileReading(api, reads, measured) : measured())), filled };
    });
  });

/** Returns the medians of these rounds; figures per byte only if the body size is known. */
function figures(rounds, recordsPerEvent = 1) {
  const of = (figure) => median(rounds.map(figure).filter(Number.isFinite));
  return {
    eventsPerSecond: of((round) => round.eventsPerSecond),
    nsPerEvent: of((round) => round.handler?.nsPerEvent),
    nsPerRecord: of((round) => round.handler?.nsPerEvent / recordsPerEvent),
    nsPerByte: of((round) => (round.bodyBytes ? round.handler?.nsPerEvent / round.bodyBytes : undefined)),
    p50Ms: of((round) => round.latencyMs?.p50),
    p99Ms: of((round) => round.latencyMs?.p99),
    largeP50Ms: of((round) => round.largeLatencyMs?.p50),
    largeP99Ms: of((round) => round.largeLatencyMs?.p99),
    readP50Ms: of((round) => round.reads?.p50Ms),
    readP99Ms: of((round) => round.reads?.p99Ms),
    peakBytes: of((round) => round.handler?.peakBytes),
    residentBytes: of((round) => round.handler?.residentBytes),
    handlerCpuPercent: of((round) => round.handler?.cpuPercent),
    driverCpuPercent: of((round) => round.driverCpuPercent),
  };
}

main("growth.js", HELP, DEFAULTS, measure);
