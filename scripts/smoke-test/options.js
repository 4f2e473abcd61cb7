// What the smoke test can be told, and its help.
"use strict";

const { join, resolve } = require("node:path");
const { parseArgs } = require("node:util");

const HELP = `Sends one event to each function app that runs, and follows it down to the state document.

Usage: scripts/smoke-test.js (--environment NAME | --resource-group GROUP) [options]
       scripts/smoke-test.js --url URL [options]

  --environment NAME      staging, production: stands for the resource group rg-devicestate-NAME
  --resource-group GROUP  another resource group
  --standby               only to the app of the standby region, while the first one is lost
  --first                 only to that of the first region, while the standby is lost
  --no-drill              without the forced 503: for environments that set no RetryDrillDevice, as production
  --url URL               the one app's address, where it is not https:// with the host name of the deployment. Without a
                          deployment it is an app of this machine (\`func start\`): no key is needed, documents are
                          looked for by the settings of this shell, and there is no drill
  --package DIR           where the command devicestate is, with which documents are read, instead of target/package
  --deadline SECONDS      the longest wait for one thing, instead of 900: logs can be asked for after minutes only
  --every SECONDS         the time between two looks, instead of 5

The event goes to the host's admin endpoint, so it takes the way of every event but for Event Hubs. Its device has one
document for ever, and its altitude is the time in milliseconds, which no run has twice: so what is found is of this
run, and production's container does not fill with what tests have left.

With two regions each app gets an event, the standby's first. It writes the same document by an identity of its own.

With the drill the device is the one that the app's setting RetryDrillDevice names. Its first attempt is answered with
503 on purpose, and the logs must show both: that attempt, and one with RetryCount 1 that applied the event.

Examples:
  scripts/smoke-test.js --environment staging
  scripts/smoke-test.js --environment production --no-drill
  StateStore=sqlite SqlitePath=state.db scripts/smoke-test.js --url http://127.0.0.1:7071 --package target/release

Needs Node.js 18 or newer, and for a deployment az.

Exit codes: 0 it works, 1 it does not, 2 the test could not begin.
`;

const OPTIONS = {
  environment: { type: "string" },
  "resource-group": { type: "string" },
  standby: { type: "boolean" },
  first: { type: "boolean" },
  "no-drill": { type: "boolean" },
  url: { type: "string" },
  package: { type: "string" },
  deadline: { type: "string" },
  every: { type: "string" },
  help: { type: "boolean", short: "h" },
};

/** What these words tell the test to do; null when they ask for help. */
function read(words) {
  // Not strict: its complaints are for programmers, and other ones with each version of Node.js.
  const { tokens, values } = parseArgs({ args: words, options: OPTIONS, strict: false, tokens: true });
  for (const { name, rawName, value, index } of tokens) {
    if (!Object.hasOwn(OPTIONS, name ?? "")) {
      throw new Error(`there is no option ${words[index]}; --help tells those that there are`);
    }
    const needsValue = OPTIONS[name].type === "string";
    if (needsValue && !value) throw new Error(`the option ${rawName} needs a value`);
    if (!needsValue && value !== undefined) throw new Error(`the option ${rawName} takes no value`);
    if (name === "help") return null;
  }
  const { environment, url, package: folder } = values;
  const group = values["resource-group"] ?? (environment && `rg-devicestate-${environment}`);
  if (!group && !url) throw new Error("say where: --environment NAME, --resource-group GROUP, or --url URL");
  if (values.standby && !group) throw new Error("the option --standby needs --environment NAME or --resource-group GROUP");
  if (url && !URL.canParse(url)) {
    throw new Error(`the option --url needs an address such as http://127.0.0.1:7071, and ${url} is none`);
  }
  return {
    group,
    url: url?.replace(/\/+$/, ""),
    which: values.standby ? "standby" : values.first || url ? "first" : "both",
    isDrill: Boolean(group) && !values["no-drill"],
    program: resolve(folder ?? join(__dirname, "../../target/package"), "devicestate"),
    deadline: seconds("--deadline", values.deadline ?? "900"),
    every: seconds("--every", values.every ?? "5"),
  };
}

function seconds(option, text) {
  // So that NaN is refused, too.
  if (!(Number(text) >= 0)) throw new Error(`the option ${option} needs a number of seconds, and ${text} is none`);
  return Number(text);
}

module.exports = { HELP, read };
