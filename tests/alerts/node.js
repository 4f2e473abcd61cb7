// What the tests ask of scripts/alerts: a question a line, as [what, question], and an answer a line. The parser takes
// seconds to load, so that there is one for all.
"use strict";

const { createInterface } = require("node:readline");
const { children, every, kind, read, text } = require("../../scripts/alerts/kusto.js");
const { Query } = require("../../scripts/alerts/tables.js");
const { alerts, names, query } = require("../../scripts/alerts/deployed.js");

const { byTable, evaluated } = require("../../scripts/alerts/evaluate.js");

const composed = (name) => query(name, { window: "15m", retention: "168h" });

const answers = {
  // What is wrong with each query as it is deployed, in which some text is another one.
  faults: ({ instead = ["", ""] }) =>
    Object.fromEntries(names().map((name) => [name, read(composed(name).replaceAll(...instead)).faults])),
  // The members of a record that the queries read.
  fields: () => [
    ...new Set(
      names().flatMap((name) =>
        [...every(read(composed(name)).tree)]
          .filter((node) => kind(node) === "PathExpression" && text(children(node)[0]) === "told")
          .map((node) => text(children(node)[2])),
      ),
    ),
  ],
  // The rows that a query finds.
  run: ({ query, rows = {}, now = 0 }) => {
    const { tree, faults } = read(query);
    if (faults.length) throw new Error(faults.join("; "));
    return new Query(tree, (table) => rows[table] ?? [], now).run();
  },
  // The alerts that fire over these rows.
  firing: ({ rows }) => {
    const tables = byTable(rows);
    const states = alerts().map((alert) => evaluated(alert, tables, { retention: "168h" }));
    return states.filter(({ state }) => state === "fires").map(({ alert }) => alert);
  },
  deployed: () => ({ alerts: alerts(), queries: names() }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const [what, question] = JSON.parse(line);
  let answer;
  try {
    answer = { answer: answers[what](question) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
