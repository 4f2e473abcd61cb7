#!/usr/bin/env node
"use strict";
const HELP = `Draw the workbook and the alerts of infra/ over the telemetry of one machine, as one HTML file.

Usage: node scripts/alerts/draw.js FILE --html PAGE [options]

FILE is the output of devicestate local --telemetry FILE.

  --html PAGE        the file to write; overwritten
  --window TIME      time range of each alert that has less than an hour, such as 10s [default: its own]
  --bin TIME         interval of the charts of the workbook, such as 1s [default: that of the query, less for a short run]
  --retention TIME   retention of the hub [default: 168h]

An alert's chart has the value that the alert measures at each time, over the time range before it, and its threshold.

Examples:
  node scripts/alerts/draw.js telemetry.jsonl --html workbook.html
  node scripts/alerts/draw.js telemetry.jsonl --html workbook.html --window 10s

Exit codes: 0 the page is written, 2 invalid options or files.`;

const { writeFileSync } = require("node:fs");
const { parseArgs } = require("node:util");
const { alerts, short, workbook } = require("./deployed.js");
const { timespan } = require("./timespan.js");
const { chart, columns, number, page, table } = require("./charts.js");

/** How many times each alert is evaluated. */
const STEPS = 48;

/** The most rows of a table. */
const MAX_ROWS = 10;

/** The longest text of a cell, and the longest one without a space, such as an id. */
const MAX_CHARS = 160;
const MAX_WORD_CHARS = 24;

/** The intervals that a chart may have, and how many of them a run has at least. */
const BINS = ["1s", "2s", "5s", "10s", "30s", "1m", "5m"];
const MIN_BINS = 20;

/** Formats a value of a query's column. */
function formatted(value, type) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (type === "datetime") return `${new Date(value).toISOString().slice(11, 23)}`;
  if (type === "timespan") return `${(value / 1000).toFixed(1)} s`;
  if (typeof value === "number") return number(value);
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const longest = text.includes(" ") ? MAX_CHARS : MAX_WORD_CHARS;
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}

const NUMBERS = ["long", "int", "real", "decimal", "timespan"];

/** Draws an item of the workbook: a chart over time, or a table. */
function item({ title, query, visualization, chartSettings }, index, rows, options, { find }) {
  const { from, to, retention, bin } = options;
  const window = `${Math.ceil((to - from) / 1000) + 1}s`;
  let deployed = "";
  const change = (text) => text.replace(/bin\(TimeGenerated, (\w+)\)/g, (whole, every) => {
    const shorter = bin ?? BINS.findLast((shorter) => timespan(shorter) <= timespan(every) && (to - from) / timespan(shorter) >= MIN_BINS) ?? "1s";
    if (shorter !== every) deployed = `Each ${shorter}; deployed: each ${every}.`;
    return `bin(TimeGenerated, ${shorter})`;
  });
  const found = find(query, rows, { window, retention, now: to, change });
  if (visualization !== "timechart") {
    const shown = found.rows.slice(0, MAX_ROWS).map((row) => found.columns.map(({ name, type }) => formatted(row[name], type)));
    const used = found.columns.map((_, column) => shown.some((row) => row[column] !== ""));
    const only = (list) => list.filter((_, column) => used[column]);
    if (!shown.length) return { table: `<p><strong>${title}</strong>: no rows</p>` };
    return { table: table(title, only(found.columns.map(({ name }) => name)), shown.map(only), only(found.columns.map(({ type }) => NUMBERS.includes(type)))) };
  }
  const points = (name) => found.rows.map((row) => [row.TimeGenerated, row[name]]).sort(([a], [b]) => a - b);
  const series = chartSettings.yAxis.map((name) => ({ name, points: points(name) }));
  // A series of zeros would only cover another one.
  const some = series.filter(({ points }) => points.some(([, value]) => value > 0));
  const shown = some.length ? some : series.slice(0, 1);
  return { chart: chart({ id: `workbook-${index}`, title, note: deployed, from, to, series: shown }) };
}

/** Draws an alert: what it measures at each time, and its threshold. */
function alertChart(alert, rows, options, { evaluateAlert }) {
  const { from, to, retention, steps = STEPS } = options;
  const over = short(alert.window);
  // The records of such an alert are hourly; a run on one machine writes one, at its end.
  const isHourly = timespan(over) >= timespan("1h");
  const window = isHourly ? undefined : options.window;
  const times = isHourly ? [to] : Array.from({ length: steps }, (_, index) => from + ((to - from) * (index + 1)) / steps);
  const states = times.map((now) => evaluateAlert(alert, rows, { window, retention, now }));
  const measured = states.map(({ measured }) => measured);
  const last = states.at(-1);
  const state = states.some(({ state }) => state === "fires") ? (last.state === "fires" ? "fires" : "has fired") : "quiet";
  const note = `${last.measure}, over ${window && window !== over ? `${window} (deployed: ${over})` : over}`;
  return {
    // Those that fire come first.
    order: ["fires", "has fired", "quiet"].indexOf(state),
    hasValue: measured.some((value) => value !== null),
    drawn: chart({
      id: `alert-${alert.name}`, title: alert.name, state, note, from, to, threshold: alert.threshold,
      series: [{ name: last.measure, points: times.map((time, index) => [index ? times[index - 1] : from, measured[index]]) }],
    }),
    row: [alert.name, String(alert.severity), last.measure, measured.some((value) => value !== null) ? number(Math.max(...measured)) : "no data", number(alert.threshold), state],
  };
}

/** Returns the page of telemetry. */
function draw(rows, options, evaluation) {
  const times = Object.values(rows).flat().map((row) => row.TimeGenerated);
  const given = { ...options, from: times.reduce((first, time) => Math.min(first, time), Infinity), to: evaluation.newest(rows) };
  if (!times.length) throw new Error("the telemetry has no rows");
  const drawn = alerts().map((alert) => alertChart(alert, rows, given, evaluation));
  const items = workbook().map((content, index) => item(content, index, rows, given, evaluation));
  const without = drawn.filter(({ hasValue }) => !hasValue).map(({ row }) => row[0]);
  const parts = [columns(drawn.filter(({ hasValue }) => hasValue).sort((a, b) => a.order - b.order).map(({ drawn }) => drawn))];
  if (without.length) parts.push(`<p class="note">Without data in this run: ${without.join(", ")}.</p>`);
  parts.push(table("The alerts in numbers", ["Alert", "Severity", "Measure", "Highest", "Threshold", "State"], drawn.map(({ row }) => row), [false, true, false, true, true, false]));
  const charts = items.flatMap(({ chart }) => chart ?? []);
  const tables = items.flatMap(({ table }) => table ?? []);
  return page("Workbook and alerts", `The queries of infra/ over the telemetry of one run, ${new Date(given.from).toISOString()} to ${new Date(given.to).toISOString().slice(11)}. A value over its threshold is marked.`, [
    { heading: "Charts of the workbook", parts: [columns(charts)] },
    { heading: "Alerts", parts },
    { heading: "Tables of the workbook", parts: tables },
  ]);
}

function run() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      html: { type: "string" }, window: { type: "string" }, bin: { type: "string" },
      retention: { type: "string", default: "168h" }, help: { type: "boolean", short: "h" },
    },
  });
  if (values.help) return console.log(HELP);
  if (positionals.length !== 1) throw new Error("missing argument FILE: the output of devicestate local --telemetry FILE");
  if (!values.html) throw new Error("missing option --html PAGE");
  for (const name of ["window", "bin", "retention"]) if (values[name]) timespan(values[name]);
  const evaluation = require("./evaluate.js");
  writeFileSync(values.html, draw(evaluation.telemetry(positionals[0]), values, evaluation));
}

if (require.main === module) {
  try {
    run();
  } catch (error) {
    const isMissing = error.code === "MODULE_NOT_FOUND";
    console.error(`draw.js: ${isMissing ? "the query parser is not installed: run npm ci --prefix scripts/alerts" : error.message}`);
    process.exitCode = 2;
  }
}

module.exports = { draw };
