#!/usr/bin/env node
// Sends one event to each function app that runs, and follows it down to the state document. --help tells how.
"use strict";

const { setTimeout: sleep } = require("node:timers/promises");

const { appsOf } = require("./smoke-test/app.js");
const { query, verdict } = require("./smoke-test/drill.js");
const { HELP, read } = require("./smoke-test/options.js");

const BATTERY = 0.75;

// Clocks differ a little; two runs are further apart.
const CLOCKS_DIFFER_MS = 10_000;

async function main(words) {
  let exitCode = 2;
  try {
    const options = read(words);
    if (!options) return process.stdout.write(HELP);
    const apps = appsOf(options);
    exitCode = 1;
    for (const app of apps) {
      const sent = Date.now();
      const proofs = [...(await accepted(app, sent, options)), ...(await documented(app, sent, options))];
      if (app.logs) proofs.push(...(await repeated(app, sent, options)));
      process.stdout.write(["", ...proofs.map(([what, how]) => `${what.padEnd(36)} ${how}`), ""].join("\n"));
    }
    exitCode = 0;
  } catch ({ message }) {
    process.stderr.write(`smoke-test.js: ${message}\n`);
  }
  process.exitCode = exitCode;
}

/** Proves that the host takes the event. */
async function accepted({ url, device, send }, sent, options) {
  let answer;
  const isTaken = await seen("the host, which takes the event", options, async () => {
    answer = await send({ deviceId: device, battery: BATTERY, position: { altitude: sent } });
    if ([400, 401, 403].includes(answer)) {
      throw new Error(`${url} refuses the event with status ${answer}: is that the app, and the key its master key?`);
    }
    return answer === 202;
  });
  if (isTaken) return [["the host took the event", url]];
  throw new Error(
    `the admin endpoint of ${url} did not take the event within ${options.deadline} s; its last answer: ${answer}`,
  );
}

/** Proves that the event came into the document of its device. */
async function documented({ device, show, before }, sent, options) {
  const document = await seen(`the document of ${device}`, options, () => {
    const { document } = show();
    return document?.Altitude === sent && document;
  });
  if (!document) {
    throw new Error(
      `the document of ${device} did not come within ${options.deadline} s; its altitude is ${before} and should be ` +
        `${sent}. The event was sent once: the function's log says what became of it, and the dead-letter queue may ` +
        "hold it",
    );
  }
  if (document.Battery !== BATTERY) {
    throw new Error(`the document came with a wrong battery: ${JSON.stringify(document)}`);
  }
  return [["its document is there", `${device}: altitude ${sent} (before: ${before}), battery ${BATTERY}`]];
}

/** Proves that the host sent the event a second time after the forced 503. */
async function repeated({ logs }, sent, options) {
  const since = new Date(sent - CLOCKS_DIFFER_MS);
  let [told, complaint] = [{ failed: "no answer", atOnce: "no answer" }, ""];
  const isTold = await seen("the logs of the forced 503", options, () => {
    try {
      [told, complaint] = [verdict(logs(query(since))), ""];
    } catch ({ message }) {
      complaint = message;
    }
    return told.first && told.second;
  });
  if (!isTold) {
    throw new Error(
      `the document came, but within ${options.deadline} s the logs told of no attempt that was failed and then ` +
        `repeated. They tell of failed first attempts: ${told.failed}; of batches applied in their first attempt: ` +
        `${told.atOnce}. Does function.json have its retry policy, and does the host repeat? ${complaint}`.trimEnd(),
    );
  }
  return [
    ["attempt 1 was answered 503", `invocation ${told.first}`],
    ["attempt 2 applied it: RetryCount 1", `invocation ${told.second}`],
  ];
}

/** Looks again and again until something is seen, and gives it; null when it never is. */
async function seen(what, { deadline, every }, look) {
  const until = performance.now() + deadline * 1000;
  process.stdout.write(`waiting for ${what} `);
  try {
    for (;;) {
      const found = await look();
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
