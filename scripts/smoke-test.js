#!/usr/bin/env node
// Sends one event to each running function app and waits for it in the state document. See --help.
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

const { appsOf } = require("./smoke-test/app.js");
const { query, drillResult } = require("./smoke-test/drill.js");
const { fill, find } = require("./smoke-test/event.js");
const { HELP, parseOptions } = require("./smoke-test/options.js");

// The tolerated clock difference; two runs are further apart.
const MAX_CLOCK_SKEW_MS = 10_000;

async function main(args) {
  let exitCode = 2;
  try {
    const options = parseOptions(args);
    if (!options) return process.stdout.write(HELP);
    const apps = appsOf(options);
    exitCode = 1;
    for (const app of apps) {
      const sent = Date.now();
      const checks = [...(await accepted(app, sent, options)), ...(await documented(app, sent, options))];
      if (app.logs) checks.push(...(await repeated(app, sent, options)));
      process.stdout.write(["", ...checks.map(([name, detail]) => `${name.padEnd(36)} ${detail}`), ""].join("\n"));
    }
    exitCode = 0;
  } catch ({ message }) {
    process.stderr.write(`smoke-test.js: ${message}\n`);
  }
  process.exitCode = exitCode;
}

/** Checks that the host accepts the event. */
async function accepted({ url, device, send }, sent, options) {
  let status;
  const isAccepted = await waitFor("the host to accept the event", options, async () => {
    status = await send(fill(options.event, device, sent));
    if ([400, 401, 403].includes(status)) {
      throw new Error(`${url} rejects the event with status ${status}: check the address, and that the key is the app's master key`);
    }
    return status === 202;
  });
  if (isAccepted) return [["the host accepted the event", url]];
  throw new Error(
    `the admin endpoint of ${url} did not accept the event within ${options.deadline} s; its last response: ${status}`,
  );
}

/** Checks that the number of the event arrives in the document of its device. */
async function documented({ device, show, before }, sent, options) {
  let document;
  const path = await waitFor(`the document of ${device}`, options, () => {
    document = show().document;
    return find(document, sent);
  });
  if (!path) {
    throw new Error(
      `the document of ${device} was not updated within ${options.deadline} s; it should contain ${sent}, but is ` +
        `${JSON.stringify(document) ?? "missing"}. The event was sent once: check the function's log and the dead-letter ` +
        `queue. If the app's telemetry file does not read ${options.event}, use --event`,
    );
  }
  const earlier = path.reduce((value, name) => value?.[name], before) ?? "none";
  return [["the document is updated", `${device}: ${path.join(".")} ${sent} (before: ${earlier})`]];
}

/** Checks that the host retried the event after the forced 503. */
async function repeated({ logs }, sent, options) {
  const since = new Date(sent - MAX_CLOCK_SKEW_MS);
  let [result, logError] = [{ failed: "unknown", appliedFirst: "unknown" }, ""];
  const isRetried = await waitFor("the logs of the forced 503", options, () => {
    try {
      [result, logError] = [drillResult(logs(query(since))), ""];
    } catch ({ message }) {
      logError = message;
    }
    return result.first && result.second;
  });
  if (!isRetried) {
    throw new Error(
      `the document was updated, but within ${options.deadline} s the logs contain no attempt that failed and was retried. ` +
        `Failed first attempts: ${result.failed}; batches applied in their first attempt: ${result.appliedFirst}. Check ` +
        `that function.json has its retry policy and that the host retries. ${logError}`.trimEnd(),
    );
  }
  return [
    ["attempt 1 was answered with 503", `invocation ${result.first}`],
    ["attempt 2 (RetryCount 1) applied it", `invocation ${result.second}`],
  ];
}

/** Polls until `check` returns something, and returns it; null at the deadline. */
async function waitFor(what, { deadline, every }, check) {
  const until = performance.now() + deadline * 1000;
  process.stdout.write(`waiting for ${what} `);
  try {
    for (;;) {
      const found = await check();
      if (found) return found;
      process.stdout.write(".");
      if (performance.now() >= until) return null;
      await sleep(every * 1000);
    }
  } finally {
    process.stdout.write("\n");
  }
}

main(process.argv.slice(2));
