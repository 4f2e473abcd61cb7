// The comparison of the handlers as a table.
"use strict";

const { ratio } = require("../figures.js");
const { describe } = require("../machine.js");
const { describeFailures } = require("../rounds.js");
const { mebibytes, number, table } = require("../tables.js");

const HEAD = [
  "HANDLER",
  "EVENTS/BATCH",
  "FORM",
  "EVENTS/S",
  "MIN",
  "MAX",
  "RECORDS/S",
  "VS FASTEST",
  "CPU NS/EVENT",
  "P50 MS",
  "P99 MS",
  "PEAK",
  "DRIVER",
];

const RATIO_HEAD = ["HANDLER", "COMPARED WITH", "EVENTS/BATCH", "FORM", "RATIO", "MIN", "MAX"];

function tables({ machine, options, handlers, skipped, summary, ratios, rounds }) {
  const group = ({ events, form }) => `${events} ${form}`;
  const fastest = new Map();
  for (const row of summary) {
    fastest.set(group(row), Math.max(fastest.get(group(row)) ?? 0, row.eventsPerSecond?.median ?? 0));
  }
  const position = ({ form }) => options.forms.indexOf(form);
  const bySize = (a, b) => a.events - b.events || position(a) - position(b);
  const rows = summary
    .toSorted(bySize)
    .map((row) => [
      row.name,
      number(row.events),
      row.form,
      number(row.eventsPerSecond?.median),
      number(row.eventsPerSecond?.min),
      number(row.eventsPerSecond?.max),
      number(row.recordsPerSecond?.median),
      number(ratio(fastest.get(group(row)), row.eventsPerSecond?.median), 2),
      number(row.nsPerEvent?.median),
      number(row.p50Ms?.median, 2),
      number(row.p99Ms?.median, 2),
      mebibytes(row.peakBytes?.median),
      `${number(row.driverCpuPercent?.median)} %`,
    ]);
  const ratioRows = ratios
    .toSorted(bySize)
    .map(({ name, to, events, form, ratio: { median, min, max } }) => [
      name,
      to,
      number(events),
      form,
      number(median, 2),
      number(min, 2),
      number(max, 2),
    ]);
  const runtimes = handlers.filter(({ runtime }) => runtime).map(({ name, runtime }) => `${name}: ${runtime}`);
  return [
    describe(machine),
    ...(runtimes.length ? [runtimes.join("; ")] : []),
    `Rounds: ${options.rounds}, of ${options.seconds} s; ${options.connections} connections, ${options.devices} devices per ` +
      `connection; handler on core ${options.handlerCore}, driver on core ${options.driverCore}. A driver near 100 % limits ` +
      "the result.",
    table(HEAD, rows),
    ...(ratioRows.length ? [table(RATIO_HEAD, ratioRows)] : []),
    ...skipped.map(({ name, reason }) => `Skipped: ${name}: ${reason}`),
    describeFailures(rounds, ({ round, name, events, form }) => `round ${round}, ${name}, ${events} events per batch, ${form}`),
  ];
}

module.exports = { tables };
