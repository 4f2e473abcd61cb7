// Makes what Bicep's compiler wrote short, and the same at every run and with every version that means the same:
//
//   node condense.mjs main.json > kept.json
//   node condense.mjs NAME.snapshot.json INFRA > kept.json
//
// A template loses only the compiler's version and its hashes. In a snapshot
//
// * the id of the resource group is written as ~;
// * resources are ordered by id and outputs by name (bicep writes them in another order at each run);
// * a query that is a file of INFRA/queries after its prelude is replaced by its name, and so are the queries of the
//   workbook. Any other text of a query is kept, so a query that is composed in another way is visible.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [file, infra] = process.argv.slice(2);
const text = (name) => readFileSync(join(infra, "queries", `${name}.kql`), "utf8");

/** A query as "window 15m, retention 168h, records.kql, lag.kql", or itself. */
function named(query) {
  const [, window, retention, rest] = /^let window = (\w+);\nlet retention = (\w+);\n([^]*)$/.exec(query) ?? [];
  const names = readdirSync(join(infra, "queries")).map((file) => file.replace(/\.kql$/, ""));
  const name = names.find((name) => name !== "records" && rest === `${text("records")}\n${text(name)}`);
  return name ? `window ${window}, retention ${retention}, records.kql, ${name}.kql` : query;
}

/** What of the workbook is not in INFRA/workbook.json: its queries, and their places. */
function workbook(serialized) {
  const { items, ...others } = JSON.parse(serialized);
  return { ...others, items: items.map(({ name, content }) => ({ name, query: content.query && named(content.query) })) };
}

const group = /\/subscriptions\/[0-9a-f-]{36}\/resourceGroups\/[\w-]+/g;
const shorten = (value, key) => {
  if (key === "serializedData") return shorten(workbook(value));
  if (typeof value === "string") return (key === "query" ? named(value) : value).replaceAll(group, "~");
  if (Array.isArray(value)) return value.map((each) => shorten(each));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key.replaceAll(group, "~"), shorten(each, key)]));
};

const byId = (one, other) => (one.id < other.id ? -1 : one.id > other.id ? 1 : 0);
function snapshot(whole) {
  const { predictedResources, diagnostics, outputs } = shorten(whole);
  const sorted = Object.fromEntries(Object.keys(outputs).sort().map((name) => [name, outputs[name]]));
  return { predictedResources: predictedResources.sort(byId), diagnostics, outputs: sorted };
}

const template = (whole) => JSON.parse(JSON.stringify(whole, (key, value) => (key === "_generator" ? undefined : value)));

const whole = JSON.parse(readFileSync(file, "utf8"));
process.stdout.write(`${JSON.stringify("predictedResources" in whole ? snapshot(whole) : template(whole), null, 2)}\n`);
