// What infra/ deploys: the alerts, and the queries as they are put together there.
"use strict";
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");

const INFRA = join(__dirname, "..", "..", "infra");
const QUERIES = join(INFRA, "queries");
const PRELUDE = "records";

const alerts = () => JSON.parse(readFileSync(join(INFRA, "alerts.json"), "utf8"));

/** The names of the queries. */
const names = () =>
  readdirSync(QUERIES)
    .map((file) => file.replace(/\.kql$/, ""))
    .filter((name) => name !== PRELUDE);

/**
 * A query as infra/modules/alerts.bicep puts it together: what the deployment knows, the records, its own text. A window of
 * 15m is written PT15M there.
 */
function query(name, { window, retention }) {
  const text = (file) => readFileSync(join(QUERIES, `${file}.kql`), "utf8");
  return `let window = ${window};\nlet retention = ${retention};\n${text(PRELUDE)}\n${text(name)}`;
}

/** PT15M as 15m. */
const short = (window) => window.slice(2).toLowerCase();

module.exports = { alerts, names, query, short };
