// The runs as tables.
"use strict";

const { describe } = require("../machine.js");
const { mebibytes, number, table } = require("../tables.js");

const NAMES = {
  keys: "100 devices, 20 partitions, SQLite",
  aircraft: "aircraft reports, 20 partitions, SQLite",
  cosmos: "aircraft reports, Cosmos DB account in memory",
  ordering: "the ordering experiment, strategy c",
};

const between = (spread, digits) =>
  spread ? [spread.median, spread.min, spread.max].map((value) => number(value, digits)) : ["-", "-", "-"];

function runs(parts) {
  const rows = Object.entries(NAMES)
    .filter(([name]) => parts[name])
    .map(([name, title]) => {
      const { events, commandSeconds, cpuSeconds, runSeconds, eventsPerSecond, isValid } = parts[name];
      return [
        title,
        number(events),
        ...between(commandSeconds, 3),
        number(cpuSeconds?.median, 2),
        ...between(runSeconds, 3),
        number(eventsPerSecond?.median),
        isValid ? "all" : "NOT ALL",
      ];
    });
  if (!rows.length) return [];
  const head = [
    "RUN",
    "EVENTS",
    "COMMAND S",
    "MIN",
    "MAX",
    "CPU S",
    "RUN S",
    "MIN",
    "MAX",
    "EVENTS/S",
    "ACCOUNTED FOR",
  ];
  return [
    table(head, rows),
    "COMMAND and CPU: from the start to the end of the command, all processes. RUN: from its report, from the start of the " +
      "handler to the last checkpoint; after it the timer function is invoked in another handler.",
  ];
}

function handlerAlone({ start, memory, size }) {
  const lines = [];
  if (start) {
    const rows = start.measured.map(({ description, starts, medianMs, p99Ms }) => [
      description,
      number(starts),
      number(medianMs, 1),
      number(p99Ms, 1),
    ]);
    lines.push(table(["START WITH", "STARTS", "MEDIAN MS", "P99 MS"], rows));
  }
  if (memory?.afterBatch) {
    const row = (when, { residentBytes, peakBytes }) => [when, mebibytes(residentBytes), mebibytes(peakBytes)];
    const rows = [
      row("after the first answer to GET /", memory.afterStart),
      row("after a batch of 1,000 events", memory.afterBatch),
    ];
    lines.push(table(["MEMORY", "RESIDENT", "PEAK"], rows));
  }
  if (size) lines.push(`The program: ${number(size.bytes)} bytes.`);
  return lines;
}

function commands(parts) {
  const all = Object.values(parts)
    .flatMap((part) => part.measured ?? [part])
    .map(({ command }) => command)
    .filter(Boolean);
  return `Commands:\n\n${all.join("\n\n").replace(/^(?=.)/gm, "  ")}`;
}

function tables({ machine, parts, skipped }) {
  return [
    describe(machine),
    ...runs(parts),
    ...handlerAlone(parts),
    commands(parts),
    ...Object.entries(parts)
      .filter(([, { isValid }]) => !isValid)
      .map(([name, { error }]) => `Failed, and in no figure: ${name}: ${error}`),
    ...skipped.map(({ name, reason }) => `Skipped: ${name}: ${reason}`),
  ];
}

module.exports = { tables };
