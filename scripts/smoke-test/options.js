// The options of the smoke test, and its help.
"use strict";

const { join, resolve } = require("node:path");
const { parseArgs } = require("node:util");

const { DEFAULT, check } = require("./event.js");

const HELP = `Send one event to each running function app, and wait for it in the state document.

Usage: scripts/smoke-test.js (--environment NAME | --resource-group GROUP) [options]
       scripts/smoke-test.js --url URL [options]

  --environment NAME      staging or production: the resource group is rg-devicestate-NAME
  --resource-group GROUP  another resource group
  --standby               test only the standby region's app, while the first region is lost
  --first                 test only the first region's app, while the standby region is lost
  --no-drill              without the forced 503, for environments without the setting RetryDrillDevice, such as production
  --url URL               address of the only app, if it is not https:// with the host name of the deployment. Without a
                          deployment it is a local app (\`func start\`): no key is needed, documents are read with the
                          settings of this shell, and there is no drill
  --event TEMPLATE        JSON of the event, if the app's telemetry file does not read the default. {device} is replaced with
                          the device id; {number} and {unix_ms} with the time in milliseconds, {time} with that time as
                          RFC 3339 [default: ${DEFAULT}]
  --package DIR           folder of the program devicestate, which reads the documents [default: target/package]
  --deadline SECONDS      time limit of each check [default: 900]; logs appear only after minutes
  --every SECONDS         time between two polls [default: 5]

The event is sent to the host's admin endpoint, so it is processed like any other, but without Event Hubs. The test device
has one permanent document, so tests leave no other documents in production. The time that was sent identifies the run: one
of the document's values must contain it.

With two regions each app gets an event, the standby's first. Each app writes the same document with its own identity.

With the drill the device is that of the app's setting RetryDrillDevice. Its first attempt is answered with 503 on purpose,
and the logs must contain that attempt and one with RetryCount 1 that applied the event.

Examples:
  scripts/smoke-test.js --environment staging
  scripts/smoke-test.js --environment production --no-drill
  scripts/smoke-test.js --environment staging --event '{"dev":"{device}","at":"{time}","values":{"uptime":{number}}}'
  StateStore=sqlite SqlitePath=state.db scripts/smoke-test.js --url http://127.0.0.1:7071 --package target/release

Requires Node.js 18 or newer, and az for a deployment.

Exit codes: 0 the app works, 1 it does not, 2 the test could not start.
`;

const OPTIONS = {
  environment: { type: "string" },
  "resource-group": { type: "string" },
  standby: { type: "boolean" },
  first: { type: "boolean" },
  "no-drill": { type: "boolean" },
  url: { type: "string" },
  event: { type: "string" },
  package: { type: "string" },
  deadline: { type: "string" },
  every: { type: "string" },
  help: { type: "boolean", short: "h" },
};

/** Parses the arguments; null if they ask for help. */
function parseOptions(args) {
  // Not strict: Node.js's own errors are for programmers, and change between versions.
  const { tokens, values } = parseArgs({ args, options: OPTIONS, strict: false, tokens: true });
  for (const { name, rawName, value, index } of tokens) {
    if (!Object.hasOwn(OPTIONS, name ?? "")) {
      throw new Error(`unknown option ${args[index]}; run with --help to list the options`);
    }
    const needsValue = OPTIONS[name].type === "string";
    if (needsValue && !value) throw new Error(`the option ${rawName} needs a value`);
    if (!needsValue && value !== undefined) throw new Error(`the option ${rawName} takes no value`);
    if (name === "help") return null;
  }
  const { environment, url, package: folder } = values;
  const group = values["resource-group"] ?? (environment && `rg-devicestate-${environment}`);
  if (!group && !url) throw new Error("missing option: --environment NAME, --resource-group GROUP or --url URL");
  if (values.standby && !group) throw new Error("the option --standby needs --environment NAME or --resource-group GROUP");
  if (url && !URL.canParse(url)) {
    throw new Error(`the option --url must be an address such as http://127.0.0.1:7071, not "${url}"`);
  }
  const event = values.event ?? DEFAULT;
  check(event);
  return {
    group,
    event,
    url: url?.replace(/\/+$/, ""),
    which: values.standby ? "standby" : values.first || url ? "first" : "both",
    isDrill: Boolean(group) && !values["no-drill"],
    program: resolve(folder ?? join(__dirname, "../../target/package"), "devicestate"),
    deadline: seconds("--deadline", values.deadline ?? "900"),
    every: seconds("--every", values.every ?? "5"),
  };
}

function seconds(option, text) {
  // Also rejects NaN.
  if (!(Number(text) >= 0)) throw new Error(`the option ${option} must be a number of seconds, not "${text}"`);
  return Number(text);
}

module.exports = { HELP, parseOptions };
