// The curves as tables.
"use strict";

const { describe } = require("../machine.js");
const { wrong } = require("../rounds.js");
const { mebibytes, number, table } = require("../tables.js");

const percent = (value) => `${number(value)} %`;

const COLUMNS = [
  ["EVENTS A BATCH", (_, { load }) => number(load.events)],
  ["EVENTS/S", ({ eventsPerSecond }) => number(eventsPerSecond)],
  ["CPU NS/EVENT", ({ nsPerEvent }) => number(nsPerEvent)],
  ["CPU NS/BYTE", ({ nsPerByte }) => number(nsPerByte, 2)],
  ["P50 MS", ({ p50Ms }) => number(p50Ms, 2)],
  ["P99 MS", ({ p99Ms }) => number(p99Ms, 2)],
  ["PEAK", ({ peakBytes }) => mebibytes(peakBytes)],
  ["RESIDENT", ({ residentBytes }) => mebibytes(residentBytes)],
  ["HANDLER", ({ handlerCpuPercent }) => percent(handlerCpuPercent)],
  ["DRIVER", ({ driverCpuPercent }) => percent(driverCpuPercent)],
];
const OF_LARGE_ONES = [
  ["LARGE P50 MS", ({ largeP50Ms }) => number(largeP50Ms, 2)],
  ["LARGE P99 MS", ({ largeP99Ms }) => number(largeP99Ms, 2)],
];

function curve({ name, title, unit, cost, points, lastToFirst, lastToBefore }) {
  const columns = name === "large" ? [...COLUMNS, ...OF_LARGE_ONES] : COLUMNS;
  const rows = points.map((point) => [
    point.label ?? number(point.at),
    ...columns.map(([, of]) => of(point.figures, point)),
    number(point.ratio, 2),
  ]);
  const head = [
    unit.toUpperCase(),
    ...columns.map(([title]) => title),
    name === "large" ? "TO THOSE ALONE" : "TO THE FIRST",
  ];
  const told = {
    nsPerEvent: "Processor time of an event",
    nsPerByte: "Processor time of a byte",
    p99Ms: "P99 of the small batches",
  };
  const end =
    name === "large"
      ? `${told[cost]} beside large ones, to that of small ones alone: ${number(lastToFirst, 2)} on two cores`
      : `${told[cost]}, the last to the first: ${number(lastToFirst, 2)}; to the one before it: ${number(lastToBefore, 2)}`;
  return `${title}\n\n${table(head, rows)}\n\n${end}`;
}

function tables({ machine, options, curves }) {
  const rounds = curves.flatMap(({ name, points }) =>
    points.flatMap(({ at, label, rounds }) => rounds.map((round) => ({ ...round, of: `${name}, ${label ?? at}` }))),
  );
  const length = options.batches ? `${options.batches} batches of each connection` : `${options.seconds} s`;
  return [
    describe(machine),
    `Rounds of each point: ${options.rounds}, of ${length}, of which the median is told. The handler on core ` +
      `${options["handler-core"]}, but for what has two cores; the driver on core ${options["driver-core"]}. ` +
      "A driver near 100 % was the limit itself.",
    ...curves.map(curve),
    wrong(rounds, ({ of, round }) => `${of}, round ${round}`),
  ];
}

module.exports = { tables };
