// The alerts and queries that infra/ deploys.
"use strict";
const { readFileSync, readdirSync } = require("node:fs");
const { join } = require("node:path");

const INFRA = join(__dirname, "..", "..", "infra");
const QUERIES = join(INFRA, "queries");
const PRELUDE = "records";

const alerts = () => JSON.parse(readFileSync(join(INFRA, "alerts.json"), "utf8"));

/** Returns the names of the queries. */
const names = () =>
  readdirSync(QUERIES)
    .map((file) => file.replace(/\.kql$/, ""))
    .filter((name) => name !== PRELUDE);

/**
 * Returns a query as infra/modules/alerts.bicep composes it: parameters of the deployment, the records, its own text. A window
 * of 15m is PT15M there.
 */
function query(name, { window, retention }) {
  const text = (file) => readFileSync(join(QUERIES, `${file}.kql`), "utf8");
  return `let window = ${window};\nlet retention = ${retention};\n${text(PRELUDE)}\n${text(name)}`;
}

/** Returns the items of the workbook that show a query. */
const workbook = () =>
  JSON.parse(readFileSync(join(INFRA, "workbook.json"), "utf8")).items.map(({ content }) => content).filter(({ query }) => query);

/** Converts PT15M to 15m. */
const short = (window) => window.slice(2).toLowerCase();

module.exports = { alerts, names, query, short, workbook };
