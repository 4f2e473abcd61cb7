// Queries and alerts over the telemetry of one machine, as the service evaluates them over its tables.
"use strict";
const { readFileSync } = require("node:fs");
const { TABLES, columns, read } = require("./kusto.js");
const { Query } = require("./tables.js");
const { isNull } = require("./scalars.js");
const { query, short } = require("./deployed.js");
const { timespan } = require("./timespan.js");

/** A file that is something else. */
class NoTelemetry extends Error {
  isForPeople = true;
}

/** The rows of a file by table. The last line may be half written. */
function telemetry(file) {
  const text = readFileSync(file, "utf8");
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter(Boolean);
  const list = lines.map((line, index) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new NoTelemetry(`${file}, line ${index + 1}, is no JSON: it takes what devicestate local --telemetry writes`);
    }
  });
  if (list.length && !list.some((row) => row?.Type in TABLES))
    throw new NoTelemetry(`${file} has no row of telemetry: it takes what devicestate local --telemetry writes`);
  return byTable(list);
}

/** Rows by table, with their times as milliseconds. */
function byTable(list) {
  const rows = Object.fromEntries(Object.keys(TABLES).map((table) => [table, []]));
  for (const row of list) rows[row.Type]?.push({ ...row, TimeGenerated: Date.parse(row.TimeGenerated) });
  return rows;
}

/** The time of the newest row. */
const newest = (rows) => Object.values(rows).flat().reduce((time, row) => Math.max(time, row.TimeGenerated), 0);

const known = new Map();

/** A query as it is deployed, read once. */
function readOnce(composed) {
  if (!known.has(composed)) known.set(composed, read(composed));
  return known.get(composed);
}

/** What a saved query finds within a window of time before the newest row. */
function find(name, rows, { window, retention }) {
  const { tree, faults } = readOnce(query(name, { window, retention }));
  if (faults.length) throw new Error(`the query ${name}: ${faults.join("; ")}`);
  const now = newest(rows);
  const from = now - timespan(window);
  const within = (table) => rows[table].filter((row) => row.TimeGenerated > from && row.TimeGenerated <= now);
  const running = new Query(tree, within, now);
  return { columns: columns(running.result), rows: running.run() };
}

const OPERATORS = { GreaterThan: (measured, threshold) => measured > threshold };
const AGGREGATIONS = {
  Total: (values) => values.reduce((sum, value) => sum + value, 0),
  Maximum: (values) => values.reduce((most, value) => Math.max(most, value), 0),
};

/** What an alert goes by: a column of what its query finds, or a metric, which has no values where there are no rows. */
function values({ query, measure, metric, aggregation }, rows, options) {
  if (query) return find(query, rows, options).rows.map((row) => row[measure]);
  // No row of the table has dimensions, neither here nor in a workspace.
  if (metric.dimensions.length) return [];
  const from = newest(rows) - timespan(options.window);
  const isMeant = (row) => [metric.name, metric.iotHub].includes(row.MetricName) && row.TimeGenerated > from;
  // What a row has for an aggregate is in a column of its name.
  return rows.AzureMetrics.filter(isMeant).map((row) => row[aggregation]);
}

/** An alert: what it measures over the rows, and whether it fires. Where there is nothing to measure, it does not. */
function evaluated(alert, rows, options) {
  const { name, aggregation, operator, threshold, window, measure = alert.metric.name } = alert;
  const found = values(alert, rows, { ...options, window: options.window ?? short(window) }).filter((value) => !isNull(value));
  const measured = found.length ? AGGREGATIONS[aggregation](found) : null;
  const state = measured !== null && OPERATORS[operator](measured, threshold) ? "fires" : "quiet";
  return { alert: name, state, measured, threshold, measure, page: `docs/operate/alerts/${name}.md` };
}

module.exports = { byTable, evaluated, find, telemetry };
