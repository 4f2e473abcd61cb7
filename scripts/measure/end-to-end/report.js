// The runs as tables.
"use strict";

const { describe } = require("../machine.js");
const { mebibytes, number, table } = require("../tables.js");

const NAMES = {
  keys: "100 devices, 20 partitions, SQLite",
  aircraft: "aircraft reports, 20 partitions, SQLite",
  cosmos: "the same, Cosmos account in memory",
  ordering: "the ordering experiment, way c",
};

const between = (spread, digits) =>
  spread ? [spread.median, spread.min, spread.max].map((value) => number(value, digits)) : ["-", "-", "-"];

function runs(parts) {
  const rows = Object.entries(NAMES)
    .filter(([name]) => parts[name])
    .map(([name, title]) => {
      const { events, commandSeconds, cpuSeconds, runSeconds, eventsPerSecond, isRight } = parts[name];
      return [
        title,
        number(events),
        ...between(commandSeconds, 3),
        number(cpuSeconds?.median, 2),
        ...between(runSeconds, 3),
        number(eventsPerSecond?.median),
        isRight ? "all" : "NOT ALL",
      ];
    });
  if (!rows.length) return [];
  const head = [
    "RUN",
    "EVENTS",
    "COMMAND S",
    "LEAST",
    "MOST",
    "CPU S",
    "RUN S",
    "LEAST",
    "MOST",
    "EVENTS/S",
    "ACCOUNTED FOR",
  ];
  return [
    table(head, rows),
    "The command is from its start to its end, with the processor time of all its processes; the run is what its report " +
      "tells, from the start of the handler to the last checkpoint. After it the timer function is called, in a handler " +
      "of its own.",
  ];
}

function alone({ start, memory, size }) {
  const told = [];
  if (start) {
    const rows = start.measured.map(({ app, starts, medianMs, p99Ms }) => [
      app,
      number(starts),
      number(medianMs, 1),
      number(p99Ms, 1),
    ]);
    told.push(table(["START WITH", "STARTS", "MEDIAN MS", "P99 MS"], rows));
  }
  if (memory?.afterBatch) {
    const row = (when, { residentBytes, peakBytes }) => [when, mebibytes(residentBytes), mebibytes(peakBytes)];
    const rows = [
      row("when it answers GET /", memory.afterStart),
      row("after a batch of 1,000 events", memory.afterBatch),
    ];
    told.push(table(["MEMORY", "RESIDENT", "PEAK"], rows));
  }
  if (size) told.push(`The program: ${number(size.bytes)} bytes.`);
  return told;
}

function commands(parts) {
  const all = Object.values(parts)
    .flatMap((part) => part.measured ?? [part])
    .map(({ command }) => command)
    .filter(Boolean);
  return `By hand:\n\n${all.join("\n\n").replace(/^(?=.)/gm, "  ")}`;
}

function tables({ machine, parts, leftOut }) {
  return [
    describe(machine),
    ...runs(parts),
    ...alone(parts),
    commands(parts),
    ...Object.entries(parts)
      .filter(([, { isRight }]) => !isRight)
      .map(([name, { complaint }]) => `Not right, and in no figure: ${name}: ${complaint}`),
    ...leftOut.map(({ part, reason }) => `Left out: ${part}: ${reason}`),
  ];
}

module.exports = { tables };
