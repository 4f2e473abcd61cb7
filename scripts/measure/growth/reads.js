// Reads devices and lists of devices at a steady rate, while batches are processed.
"use strict";

const http = require("node:http");
const { quantile } = require("../figures.js");
const { RoundError } = require("../rounds.js");

/** How often due requests are sent, in milliseconds. */
const INTERVAL_MS = 5;

/** A device of the load driver, and the first page of a list. */
const PATHS = ["/api/devices/drone-00000007", "/api/devices?limit=100"];

/**
 * Calls a function while devices are read, and returns its round with the latencies of the reads. Each one counts from when it
 * was due, whether the handler has answered the ones before or not.
 */
async function whileReading(port, perSecond, use) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const [began, latencies, pending] = [performance.now(), [], new Set()];
  let sent = 0;
  const sendDue = () => {
    for (; sent < ((performance.now() - began) / 1_000) * perSecond; sent++) {
      const due = began + (sent / perSecond) * 1_000;
      const read = get(agent, port, PATHS[sent % PATHS.length]).then(() => latencies.push(performance.now() - due));
      pending.add(read);
      // A failed read stays, so that the round fails.
      read.then(() => pending.delete(read), () => {});
    }
  };
  const timer = setInterval(sendDue, INTERVAL_MS);
  try {
    const round = await use();
    clearInterval(timer);
    await Promise.all(pending);
    return { ...round, reads: { count: latencies.length, p50Ms: quantile(latencies, 0.5), p99Ms: quantile(latencies, 0.99) } };
  } finally {
    clearInterval(timer);
    agent.destroy();
  }
}

function get(agent, port, path) {
  return new Promise((done, failed) => {
    const onAnswer = (answer) => {
      answer.resume().on("end", () => {
        // The device may not have had an event yet.
        if ([200, 404].includes(answer.statusCode)) done();
        else failed(new RoundError(`GET ${path} answered ${answer.statusCode}`));
      });
    };
    http.get({ host: "127.0.0.1", port, path, agent }, onAnswer).on("error", ({ message }) => failed(new RoundError(`GET ${path}: ${message}`)));
  });
}

module.exports = { whileReading };
