#!/usr/bin/env node
"use strict";
const HELP = `Run the alerts and saved queries of infra/ over the telemetry of one machine.

Usage: node scripts/alerts/check.js FILE [options]

FILE is the output of devicestate local --telemetry FILE, which may still be running.

Selection:
  --alert NAME         check only this alert
  --query NAME         show the rows of this saved query, instead of the alerts

Evaluation:
  --window TIME        time range to query, such as 30s [default: that of each alert]
  --retention TIME     retention of the hub [default: 168h]
  --until fires|quiet  poll until the alert has this state
  --within TIME        time limit of --until [default: 120s]

Output:
  -o, --output FORMAT  table, json (one object) or jsonl (one alert or row per line) [default: table]

Before the first run: npm ci --prefix scripts/alerts

Examples:
  node scripts/alerts/check.js telemetry.jsonl
  node scripts/alerts/check.js telemetry.jsonl --query failed-attempts
  node scripts/alerts/check.js telemetry.jsonl --alert no-output --window 20s --until fires

Exit codes: 0 every alert is quiet (with --until: the state was reached), 1 one fires (it was not reached), 2 could not start.`;

const { accessSync, constants } = require("node:fs");
const { parseArgs } = require("node:util");
const { alerts, names } = require("./deployed.js");
const { timespan } = require("./timespan.js");

/** The check cannot start; reported without a stack. */
class StartError extends Error {
  isExpected = true;
}

/** The version of docs/reference/output.schema.json. */
const SCHEMA_VERSION = 1;

/** Loads the evaluation, which takes a second and needs an installed package. */
function load() {
  try {
    return require("./evaluate.js");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new StartError("the query parser is not installed: run npm ci --prefix scripts/alerts");
  }
}

/** Formats a value for the table, by its column's type. */
function formatted(value, type) {
  if (value === null || value === undefined) return "";
  if (type === "datetime") return new Date(value).toISOString();
  if (type === "timespan") return `${(value / 1000).toFixed(1)} s`;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(2);
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // A sender's text, such as a device id, must not control the terminal.
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\uFFFD");
}

/** Formats a table; numbers are right-aligned. */
function table(head, rows) {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const isNumber = (text) => text === "" || !Number.isNaN(Number(text));
  const right = head.map((_, column) => rows.length > 0 && rows.every((row) => isNumber(row[column])));
  const cell = (text, column) => (right[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}

function print(format, isSuccess, items, asTable) {
  const outcome = isSuccess ? "succeeded" : "failed";
  const envelope = { command: "check", schemaVersion: SCHEMA_VERSION, outcome, data: items };
  const output = {
    table: asTable,
    json: () => JSON.stringify(envelope, null, 2),
    jsonl: () => items.map((item) => JSON.stringify(item)).join("\n"),
  };
  const text = output[format]();
  if (text) console.log(text);
}

function options() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        alert: { type: "string" }, query: { type: "string" }, window: { type: "string" },
        retention: { type: "string", default: "168h" }, until: { type: "string" },
        within: { type: "string", default: "120s" }, output: { type: "string", short: "o", default: "table" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch ({ message }) {
    const reason = message.split(". ")[0].replace("Unknown option", "unknown option");
    throw new StartError(`${reason}; run with --help to list the options`);
  }
  const { values, positionals } = parsed;
  if (values.help) return values;
  const one = (name, value, known) => {
    if (value && !known.includes(value)) throw new StartError(`--${name} must be one of ${known.join(", ")}, not "${value}"`);
  };
  one("alert", values.alert, alerts().map((alert) => alert.name));
  one("query", values.query, names());
  one("until", values.until, ["fires", "quiet"]);
  one("output", values.output, ["table", "json", "jsonl"]);
  if (values.until && !values.alert) throw new StartError("the option --until needs --alert NAME");
  if (positionals.length !== 1) throw new StartError("missing argument FILE: the output of devicestate local --telemetry FILE");
  for (const name of ["window", "retention", "within"]) {
    try {
      if (values[name]) timespan(values[name]);
    } catch ({ message }) {
      throw new StartError(`--${name}: ${message}`);
    }
  }
  try {
    accessSync(positionals[0], constants.R_OK);
  } catch ({ code }) {
    const reason = code === "ENOENT" ? "it does not exist" : code;
    throw new StartError(
      `the file ${positionals[0]} cannot be read: ${reason}; create it with devicestate local --telemetry FILE`,
    );
  }
  return { ...values, file: positionals[0] };
}

async function run() {
  const given = options();
  if (given.help) return console.log(HELP);
  const { evaluateAlert, find, telemetry } = load();
  if (given.query) {
    const found = find(given.query, telemetry(given.file), { ...given, window: given.window ?? "365d" });
    print(given.output, true, found.rows, () =>
      table(found.columns.map(({ name }) => name), found.rows.map((row) => found.columns.map(({ name, type }) => formatted(row[name], type)))));
    return;
  }
  const selected = alerts().filter((alert) => !given.alert || alert.name === given.alert);
  const deadline = Date.now() + timespan(given.within);
  for (;;) {
    const rows = telemetry(given.file);
    const states = selected.map((alert) => evaluateAlert(alert, rows, given));
    const isReached = states.every(({ state }) => state === (given.until ?? "quiet"));
    if (!given.until || isReached || Date.now() > deadline) {
      print(given.output, isReached, states, () =>
        table(["ALERT", "STATE", "MEASURED", "THRESHOLD", "MEASURE", "PAGE"],
          states.map(({ alert, state, measured, threshold, measure, page }) =>
            [alert, state, formatted(measured), formatted(threshold), measure, page])));
      process.exitCode = isReached ? 0 : 1;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

run().catch((error) => {
  console.error(`check.js: ${error.isExpected ? error.message : error.stack}`);
  process.exitCode = 2;
});
