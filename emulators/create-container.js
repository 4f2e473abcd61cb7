// Creates the database and the container that the settings name, with the partition key /id, in a Cosmos DB emulator.
// On Azure the infrastructure does that. Existing ones stay unchanged.
//
//   node emulators/create-container.js [path of a local.settings.json]
//
// Settings of the environment have precedence over the file, as with Core Tools. Needs Node.js 18 or newer.
"use strict";

const { createHmac } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");

const API_VERSION = "2018-12-31";
const READY_WITHIN_SECONDS = 120;

function settings() {
  const path = process.argv[2] ?? join(__dirname, "..", "local.settings.json");
  const values = { ...read(path).Values, ...process.env };
  const parts = connectionString(values.CosmosConnection ?? "");
  const [endpoint, key] = ["accountendpoint", "accountkey"].map((name) => parts.get(name));
  if (!endpoint || !key) {
    throw new Error(`the setting CosmosConnection has no AccountEndpoint or no AccountKey (environment, ${path})`);
  }
  return {
    endpoint,
    key,
    database: values.CosmosDatabase || "devicestate",
    container: values.CosmosContainer || "devices",
  };
}

/** Returns the content of a settings file. */
function read(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    const reason = error.code === "ENOENT" ? "it does not exist" : error.message;
    throw new Error(`the settings file ${path} cannot be read: ${reason}; the path is the first argument`);
  }
}

/** The parts of a connection string by their names in lower case, as the handler reads it. Errors never show the text. */
function connectionString(text) {
  const parts = text.split(";").map((part) => part.trim()).filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    if (at < 0) throw new Error("the setting CosmosConnection is not a connection string: it must consist of Name=value parts");
    return [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
  });
  return new Map(parts);
}

/** Creates a resource; true when it is new, false when there is one already. */
async function create({ endpoint, key }, parent, type, resource) {
  const date = new Date().toUTCString();
  const text = `post\n${type}\n${parent}\n${date.toLowerCase()}\n\n`;
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
  const response = await fetch(new URL([parent, type].filter(Boolean).join("/"), endpoint), {
    method: "POST",
    headers: {
      authorization: encodeURIComponent(`type=master&ver=1.0&sig=${signature}`),
      "content-type": "application/json",
      "x-ms-date": date,
      "x-ms-version": API_VERSION,
    },
    body: JSON.stringify(resource),
  });
  if (response.ok || response.status === 409) return response.ok;
  const why = response.status === 401 ? "check that AccountKey in the setting CosmosConnection is the account's. " : "";
  const error = new Error(`${endpoint} answered ${response.status}: ${why}${await response.text()}`);
  error.isTransient = response.status === 408 || response.status === 429 || response.status >= 500;
  throw error;
}

/** An emulator that starts refuses connections first, and then answers 503. */
async function whenReady(action) {
  const until = Date.now() + READY_WITHIN_SECONDS * 1000;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      const isStarting = error.isTransient || (error instanceof TypeError && error.cause);
      if (!isStarting || Date.now() > until) throw error.cause ?? error;
      await sleep(500);
    }
  }
}

async function main() {
  const account = settings();
  const { database, container } = account;
  const key = { paths: ["/id"], kind: "Hash", version: 2 };
  const report = (name, isNew) => console.log(`${name}: ${isNew ? "created" : "already exists"}`);
  report(`database ${database}`, await whenReady(() => create(account, "", "dbs", { id: database })));
  const collection = { id: container, partitionKey: key };
  report(`container ${container}`, await whenReady(() => create(account, `dbs/${database}`, "colls", collection)));
}

main().catch((error) => {
  console.error(`create-container: ${error.message}`);
  process.exitCode = 1;
});
