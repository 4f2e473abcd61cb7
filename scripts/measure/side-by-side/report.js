// Handlers side by side as a table.
"use strict";

const { ratio } = require("../figures.js");
const { describe } = require("../machine.js");
const { wrong } = require("../rounds.js");
const { mebibytes, number, table } = require("../tables.js");

const HEAD = [
  "HANDLER",
  "EVENTS A BATCH",
  "FORM",
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

function tables({ machine, options, leftOut, summary, rounds }) {
  const group = ({ events, form }) => `${events} ${form}`;
  const fastest = new Map();
  for (const row of summary) {
    fastest.set(group(row), Math.max(fastest.get(group(row)) ?? 0, row.eventsPerSecond?.median ?? 0));
  }
  const place = ({ form }) => options.forms.indexOf(form);
  const rows = summary
    .toSorted((a, b) => a.events - b.events || place(a) - place(b))
    .map((row) => [
      row.who,
      number(row.events),
      row.form.replace("+", " + "),
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
  return [
    describe(machine),
    `Rounds: ${options.rounds}, of ${options.seconds} s; ${options.connections} connections, ${options.devices} devices of ` +
      `each; the handler on core ${options["handler-core"]}, the driver on core ${options["driver-core"]}. A driver near ` +
      "100 % was the limit itself.",
    table(HEAD, rows),
    ...leftOut.map(({ who, reason }) => `Left out: ${who}: ${reason}`),
    wrong(rounds, ({ round, who, events, form }) => `round ${round}, ${who}, ${events} events a batch, ${form}`),
  ];
}

module.exports = { tables };
