#!/usr/bin/env node
"use strict";
const HELP = `Print a saved query as infra/ deploys it, to run it without the portal.

Usage: node scripts/alerts/query.js NAME [--window TIME] [--retention TIME]

  --window TIME     time range of an alert; no-output excludes its last third [default: 15m]
  --retention TIME  retention of the hub [default: 168h]

Examples:
  node scripts/alerts/query.js failed-attempts
  az monitor log-analytics query --workspace "$LOG_ANALYTICS_WORKSPACE_ID" --timespan PT1H --output table \\
      --analytics-query "$(node scripts/alerts/query.js lag)"

Exit codes: 0 printed, 2 invalid options or an unknown query.`;

const { parseArgs } = require("node:util");
const { names, query } = require("./deployed.js");

/** Parses the arguments. */
function parse(config) {
  try {
    return parseArgs(config);
  } catch ({ message }) {
    const reason = message.split(". ")[0].replace("Unknown option", "unknown option");
    throw new Error(`${reason}; run with --help to list the options`);
  }
}

function run() {
  const options = { window: { type: "string", default: "15m" }, retention: { type: "string", default: "168h" }, help: { type: "boolean", short: "h" } };
  const { values, positionals } = parse({ allowPositionals: true, options });
  if (values.help) return console.log(HELP);
  if (positionals.length !== 1) throw new Error(`missing argument NAME: one of ${names().join(", ")}`);
  if (!names().includes(positionals[0])) throw new Error(`NAME must be one of ${names().join(", ")}, not "${positionals[0]}"`);
  console.log(query(positionals[0], values));
}

try {
  run();
} catch (error) {
  console.error(`query.js: ${error.message}`);
  process.exitCode = 2;
}
