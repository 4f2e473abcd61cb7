#!/usr/bin/env node
"use strict";
const HELP = `Runs the alerts that infra/ deploys, and its saved queries, over the telemetry of one machine.

Usage: node scripts/alerts/check.js FILE [options]

FILE is what devicestate local --telemetry FILE writes; it may still be written to.

  --alert NAME         only this alert
  --query NAME         show what this saved query finds, instead of the alerts
  --window TIME        look back so far, such as 30s, instead of as far as each alert does
  --retention TIME     how long the hub keeps events, instead of 168h
  --until fires|quiet  look again and again until the alert is so
  --within TIME        for so long, instead of 120s
  --format json        one JSON value

Before it runs for the first time: npm ci --prefix scripts/alerts

Examples:
  node scripts/alerts/check.js telemetry.jsonl
  node scripts/alerts/check.js telemetry.jsonl --query failed-attempts
  node scripts/alerts/check.js telemetry.jsonl --alert no-output --window 20s --until fires

Exit codes: 0 every alert is quiet (with --until: it is so), 1 one fires (it never was so), 2 could not begin.`;

const { accessSync, constants } = require("node:fs");
const { parseArgs } = require("node:util");
const { alerts, names } = require("./deployed.js");
const { timespan } = require("./timespan.js");

class CannotBegin extends Error {
  isForPeople = true;
}

/** What evaluates, which takes a second to load and a package to be installed. */
function load() {
  try {
    return require("./evaluate.js");
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    throw new CannotBegin("the parser of the queries is not there: npm ci --prefix scripts/alerts");
  }
}

/** A value as people read it, by its column's type. */
function shown(value, type) {
  if (value === null || value === undefined) return "";
  if (type === "datetime") return new Date(value).toISOString();
  if (type === "timespan") return `${(value / 1000).toFixed(1)} s`;
  if (typeof value === "number") return Number.isInteger(value) ? String(value) : value.toFixed(2);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Rows that line up; numbers to the right. */
function table(head, rows) {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const isNumber = (text) => text === "" || !Number.isNaN(Number(text));
  const right = head.map((_, column) => rows.length > 0 && rows.every((row) => isNumber(row[column])));
  const cell = (text, column) => (right[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}

function print(format, value, asTable) {
  console.log(format === "json" ? JSON.stringify(value, null, 2) : asTable());
}

function options() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        alert: { type: "string" }, query: { type: "string" }, window: { type: "string" },
        retention: { type: "string", default: "168h" }, until: { type: "string" },
        within: { type: "string", default: "120s" }, format: { type: "string", default: "table" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new CannotBegin(error.message);
  }
  const { values, positionals } = parsed;
  if (values.help) return values;
  const one = (name, value, known) => {
    if (value && !known.includes(value)) throw new CannotBegin(`--${name} is one of ${known.join(", ")}, and not ${value}`);
  };
  one("alert", values.alert, alerts().map((alert) => alert.name));
  one("query", values.query, names());
  one("until", values.until, ["fires", "quiet"]);
  one("format", values.format, ["table", "json"]);
  if (values.until && !values.alert) throw new CannotBegin("--until takes an --alert");
  if (positionals.length !== 1) throw new CannotBegin("say which file: what devicestate local --telemetry FILE writes");
  try {
    for (const time of [values.window, values.retention, values.within]) if (time) timespan(time);
    accessSync(positionals[0], constants.R_OK);
  } catch (error) {
    throw new CannotBegin(error.message);
  }
  return { ...values, file: positionals[0] };
}

async function run() {
  const given = options();
  if (given.help) return console.log(HELP);
  const { evaluated, find, telemetry } = load();
  if (given.query) {
    const found = find(given.query, telemetry(given.file), { ...given, window: given.window ?? "365d" });
    print(given.format, found.rows, () =>
      table(found.columns.map(({ name }) => name), found.rows.map((row) => found.columns.map(({ name, type }) => shown(row[name], type)))));
    return;
  }
  const wanted = alerts().filter((alert) => !given.alert || alert.name === given.alert);
  const deadline = Date.now() + timespan(given.within);
  for (;;) {
    const rows = telemetry(given.file);
    const states = wanted.map((alert) => evaluated(alert, rows, given));
    const isSo = states.every(({ state }) => state === (given.until ?? "quiet"));
    if (!given.until || isSo || Date.now() > deadline) {
      print(given.format, states, () =>
        table(["ALERT", "STATE", "MEASURED", "THRESHOLD", "WHAT IS MEASURED", "PAGE"],
          states.map(({ alert, state, measured, threshold, measure, page }) =>
            [alert, state, shown(measured), shown(threshold), measure, page])));
      process.exitCode = isSo ? 0 : 1;
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

run().catch((error) => {
  console.error(`check.js: ${error.isForPeople ? error.message : error.stack}`);
  process.exitCode = 2;
});
