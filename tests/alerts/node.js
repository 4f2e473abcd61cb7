// Calls scripts/alerts for the tests: one request per line, as [name, argument], and one response per line. The parser takes
// seconds to load, so all tests share this process.
"use strict";

const { createInterface } = require("node:readline");
const { children, every, kind, parse, text } = require("../../scripts/alerts/kusto.js");
const { Query } = require("../../scripts/alerts/tables.js");
const { alerts, names, query } = require("../../scripts/alerts/deployed.js");

const { draw } = require("../../scripts/alerts/draw.js");
const { byTable, evaluateAlert, ...evaluation } = require("../../scripts/alerts/evaluate.js");

const composed = (name) => query(name, { window: "15m", retention: "168h" });

const calls = {
  // The errors of each deployed query, with a text replaced.
  errors: ({ replacement = ["", ""] }) =>
    Object.fromEntries(names().map((name) => [name, parse(composed(name).replaceAll(...replacement)).errors])),
  // The members of a record that the queries read.
  fields: () => [
    ...new Set(
      names().flatMap((name) =>
        [...every(parse(composed(name)).tree)]
          .filter((node) => kind(node) === "PathExpression" && text(children(node)[0]) === "fields")
          .map((node) => text(children(node)[2])),
      ),
    ),
  ],
  // The result rows of a query.
  run: ({ query, rows = {}, now = 0 }) => {
    const { tree, errors } = parse(query);
    if (errors.length) throw new Error(errors.join("; "));
    return new Query(tree, (table) => rows[table] ?? [], now).run();
  },
  // The alerts that fire over these rows, with a text of the queries replaced.
  firing: ({ rows, replacement = ["", ""] }) => {
    const tables = byTable(rows);
    const change = (query) => query.replaceAll(...replacement);
    const states = alerts().map((alert) => evaluateAlert(alert, tables, { retention: "168h", change }));
    return states.filter(({ state }) => state === "fires").map(({ alert }) => alert);
  },
  // The page of these rows.
  draw: ({ rows, options = {} }) => draw(byTable(rows), { retention: "168h", ...options }, { evaluateAlert, ...evaluation }),
  deployed: () => ({ alerts: alerts(), queries: names() }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, argument] = JSON.parse(line);
  let response;
  try {
    response = { result: calls[name](argument) };
  } catch (error) {
    response = { error: error.message };
  }
  process.stdout.write(JSON.stringify(response) + "\n");
});
