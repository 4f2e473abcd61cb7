#!/usr/bin/env node
"use strict";
const HELP = `Print a saved query as infra/ deploys it, to run it without the portal.

Usage: node scripts/alerts/query.js NAME [--window TIME] [--retention TIME]

  --window TIME     time range of an alert; no-output excludes its last third [default: 15m]
  --retention TIME  retention of the hub [default: 168h]

Example:
  az monitor log-analytics query --workspace "$LOG_ANALYTICS_WORKSPACE_ID" --timespan PT1H --output table \\
      --analytics-query "$(node scripts/alerts/query.js lag)"

Exit codes: 0 printed, 2 unknown query.`;

const { parseArgs } = require("node:util");
const { names, query } = require("./deployed.js");

function run() {
  const options = { window: { type: "string", default: "15m" }, retention: { type: "string", default: "168h" }, help: { type: "boolean", short: "h" } };
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  if (values.help) return console.log(HELP);
  if (positionals.length !== 1 || !names().includes(positionals[0])) throw new Error(`the query must be one of ${names().join(", ")}`);
  console.log(query(positionals[0], values));
}

try {
  run();
} catch (error) {
  console.error(`query.js: ${error.message}`);
  process.exitCode = 2;
}
