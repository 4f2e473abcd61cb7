// The curves as tables.
"use strict";

const { describe } = require("../machine.js");
const { describeFailures } = require("../rounds.js");
const { mebibytes, number, table } = require("../tables.js");

const percent = (value) => `${number(value)} %`;

const COLUMNS = [
  ["EVENTS/BATCH", (_, { load }) => number(load.events)],
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
const MORE_COLUMNS = {
  large: [
    ["LARGE P50 MS", ({ largeP50Ms }) => number(largeP50Ms, 2)],
    ["LARGE P99 MS", ({ largeP99Ms }) => number(largeP99Ms, 2)],
  ],
  kinds: [
    ["RECORDS/EVENT", (_, { records }) => number(records)],
    ["RECORDS/S", ({ eventsPerSecond }, { records }) => number(eventsPerSecond * records)],
    ["CPU NS/RECORD", ({ nsPerRecord }) => number(nsPerRecord)],
  ],
  reads: [
    ["READ P50 MS", ({ readP50Ms }) => number(readP50Ms, 2)],
    ["READ P99 MS", ({ readP99Ms }) => number(readP99Ms, 2)],
  ],
};

function curve({ name, description, unit, cost, points, lastToFirst, lastToPrevious }) {
  const columns = [...COLUMNS, ...(MORE_COLUMNS[name] ?? [])];
  const rows = points.map((point) => [
    point.description ?? number(point.at),
    ...columns.map(([, of]) => of(point.figures, point)),
    number(point.ratio, 2),
  ]);
  const head = [
    unit.toUpperCase(),
    ...columns.map(([title]) => title),
    name === "large" ? "VS SMALL ONLY" : "VS FIRST",
  ];
  const costs = {
    nsPerEvent: "Processor time per event",
    nsPerRecord: "Processor time per record",
    nsPerByte: "Processor time per byte",
    p99Ms: "P99 of the small batches",
  };
  const end =
    name === "large"
      ? `${costs[cost]} with large batches, relative to small batches only, on two cores: ${number(lastToFirst, 2)}`
      : `${costs[cost]}, last point relative to the first: ${number(lastToFirst, 2)}; to the previous one: ${number(lastToPrevious, 2)}`;
  return `${description}\n\n${table(head, rows)}\n\n${end}`;
}

function tables({ machine, options, curves }) {
  const rounds = curves.flatMap(({ name, points }) =>
    points.flatMap(({ at, description, rounds }) =>
      rounds.map((round) => ({ ...round, title: `${name}, ${description ?? at}` })),
    ),
  );
  const length = options.batches ? `${options.batches} batches per connection` : `${options.seconds} s`;
  return [
    describe(machine),
    `Rounds per point: ${options.rounds}, of ${length}; the figures are medians. Handler on core ${options.handlerCore} unless ` +
      `two cores are given, driver on core ${options.driverCore}. A driver near 100 % limits the result.`,
    ...curves.map(curve),
    describeFailures(rounds, ({ title, round }) => `${title}, round ${round}`),
  ];
}

module.exports = { tables };
