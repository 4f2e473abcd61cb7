// Evaluates queries and alerts over the telemetry of one machine, like the service over its tables.
"use strict";
const { readFileSync } = require("node:fs");
const { TABLES, columns, parse } = require("./kusto.js");
const { Query } = require("./tables.js");
const { isNull } = require("./scalars.js");
const { query, short } = require("./deployed.js");
const { timespan } = require("./timespan.js");

/** The file does not contain telemetry. */
class TelemetryError extends Error {
  isExpected = true;
}

/** Returns the rows of a file by table. The last line may be incomplete. */
function telemetry(file) {
  const text = readFileSync(file, "utf8");
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter(Boolean);
  const list = lines.map((line, index) => {
    try {
      return JSON.parse(line);
    } catch {
      throw new TelemetryError(`${file}, line ${index + 1}, is not valid JSON: use the output of devicestate local --telemetry`);
    }
  });
  if (list.length && !list.some((row) => row?.Type in TABLES))
    throw new TelemetryError(`${file} has no telemetry: use the output of devicestate local --telemetry`);
  return byTable(list);
}

/** Groups rows by table, with their times in milliseconds. */
function byTable(list) {
  const rows = Object.fromEntries(Object.keys(TABLES).map((table) => [table, []]));
  for (const row of list) rows[row.Type]?.push({ ...row, TimeGenerated: Date.parse(row.TimeGenerated) });
  return rows;
}

/** Returns the time of the newest row. */
const newest = (rows) => Object.values(rows).flat().reduce((time, row) => Math.max(time, row.TimeGenerated), 0);

const cache = new Map();

/** Parses a composed query, with a cache. */
function parseCached(composed) {
  if (!cache.has(composed)) cache.set(composed, parse(composed));
  return cache.get(composed);
}

/** Runs a saved query over a time window before `now`: the time of the newest row. `change` may change its text. */
function find(name, rows, { window, retention, now = newest(rows), change = (text) => text }) {
  const { tree, errors } = parseCached(change(query(name, { window, retention })));
  if (errors.length) throw new Error(`the query ${name}: ${errors.join("; ")}`);
  const from = now - timespan(window);
  const within = (table) => rows[table].filter((row) => row.TimeGenerated > from && row.TimeGenerated <= now);
  const running = new Query(tree, within, now);
  return { columns: columns(running.result), rows: running.run() };
}

const OPERATORS = { GreaterThan: (measured, threshold) => measured > threshold };
const AGGREGATIONS = {
  Total: (values) => values.reduce((sum, value) => sum + value, 0),
  Maximum: (values) => values.reduce((max, value) => Math.max(max, value), 0),
};

/** Returns the values that an alert measures: a column of its query's rows, or a metric, which has none without rows. */
function values({ query, measure, metric, aggregation }, rows, options) {
  if (query) {
    const found = find(query, rows, options);
    // A rule groups its rows by TimeGenerated, if the result has that column. Whether it drops a row without a time is not
    // documented, so this one does.
    const isTimed = found.columns.some(({ name }) => name === "TimeGenerated");
    return found.rows.filter((row) => !isTimed || !isNull(row.TimeGenerated)).map((row) => row[measure]);
  }
  // The rows of the table have no dimensions, neither here nor in a workspace.
  if (metric.dimensions.length) return [];
  const { now = newest(rows) } = options;
  const from = now - timespan(options.window);
  const isOfMetric = (row) =>
    [metric.name, metric.iotHub].includes(row.MetricName) && row.TimeGenerated > from && row.TimeGenerated <= now;
  // A row has a column per aggregation.
  return rows.AzureMetrics.filter(isOfMetric).map((row) => row[aggregation]);
}

/** Evaluates an alert: its measured value and its state. Without a value it is quiet. */
function evaluateAlert(alert, rows, options) {
  const { name, aggregation, operator, threshold, window, measure = alert.metric.name } = alert;
  const found = values(alert, rows, { ...options, window: options.window ?? short(window) }).filter((value) => !isNull(value));
  const measured = found.length ? AGGREGATIONS[aggregation](found) : null;
  const state = measured !== null && OPERATORS[operator](measured, threshold) ? "fires" : "quiet";
  return { alert: name, state, measured, threshold, measure, page: `docs/operate/alerts/${name}.md` };
}

module.exports = { byTable, evaluateAlert, find, newest, telemetry };
