// Whole runs: hub, host, handler and store, from the start of the command to its report.
"use strict";

const { join } = require("node:path");
const { createInterface } = require("node:readline");
const { spread } = require("../figures.js");
const { PLAIN, pinned } = require("../handler.js");
const { child, inFolder } = require("../leftovers.js");
const { program, run } = require("../load.js");
const { ROOT, progress, shown } = require("../options.js");

/** Where the state goes when a person repeats a run. */
const STATE = "state.db";

const keys = (options) =>
  local(options, ["--simulate", "100", "--events", String(options.events), "--partitions", "20"], options.events);

const AIRCRAFT = ["--input", "tests/data/aircraft.jsonl.gz", "--partitions", "20"];
const AIRCRAFT_EVENTS = 139_098;

const aircraft = (options) => local(options, AIRCRAFT, AIRCRAFT_EVENTS);

/** The same with the documents in a Cosmos account that is a process of its own, on the same cores. */
async function cosmos(options) {
  const path = program(
    options.listener,
    "cargo build --release --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener, or --listener PATH",
  );
  const environment = { StateStore: "cosmos" };
  const each = async (play) => {
    // A new one for each run, so that each begins with no documents.
    const account = child(pinned(options.cores, [path]), { stdio: ["pipe", "pipe", "inherit"] });
    const over = new Promise((resolve) => account.on("close", resolve).on("error", resolve));
    try {
      const { value } = await createInterface({ input: account.stdout })[Symbol.asyncIterator]().next();
      return await play({ ...environment, CosmosConnection: JSON.parse(value).connectionString });
    } finally {
      account.kill("SIGKILL");
      await over;
    }
  };
  const before = `${shown(path)} --port 8082 &  # it prints the connection string\nStateStore=cosmos CosmosConnection=… `;
  return local(options, AIRCRAFT, AIRCRAFT_EVENTS, each, before);
}

/** `devicestate local`, again and again, each time with a new state file. */
async function local({ binary, cores, rounds }, words, events, each = (play) => play({}), before = "") {
  const command = (state) => pinned(cores, [binary, "local", ...words, "--state", state, "--report", "json"]);
  const results = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`devicestate local ${words.join(" ")}: round ${round} of ${rounds}`);
    const once = (folder) =>
      each((settings) => played(command(join(folder, STATE)), { ...PLAIN, ...settings }, events));
    results.push(await inFolder(once));
  }
  return {
    command:
      before +
      command(STATE)
        .map((word) => shown(word))
        .join(" "),
    isRight: results.every(({ isRight }) => isRight),
    complaint: results.find(({ isRight }) => !isRight)?.complaint,
    events,
    commandSeconds: spread(results.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(results.map(({ cpuSeconds }) => cpuSeconds)),
    runSeconds: spread(results.map(({ report }) => report.seconds)),
    eventsPerSecond: spread(results.map(({ report }) => report.eventsPerSecond)),
    rounds: results,
  };
}

async function played(command, env, events) {
  const { code, stderr, report, ...took } = await timed(command, env);
  delete report.state;
  const isRight = code === 0 && report.events.received === events && report.events.lost === 0;
  return { isRight, ...took, report, ...(isRight ? {} : { complaint: report.failure ?? stderr.trim() }) };
}

/** Runs a command to its end, and reads its report; the processor time is that of all its processes. */
async function timed(command, env) {
  const began = performance.now();
  const shell = ["sh", "-c", '"$@"; code=$?; times >&2; exit $code', "sh", ...command];
  const { code, stdout, stderr } = await run(shell, { env, cwd: ROOT });
  const commandSeconds = (performance.now() - began) / 1000;
  if (!stdout) throw new Error(`${command.join(" ")} told nothing (exit code ${code}): ${stderr.trim()}`);
  // The last line has the user and the system time of what the shell has waited for.
  const lines = stderr.trim().split("\n");
  const times = [...lines.pop().matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => minutes * 60 + Number(seconds),
  );
  const cpuSeconds = times.reduce((sum, time) => sum + time, 0);
  return { code, stderr: lines.slice(0, -1).join("\n"), commandSeconds, cpuSeconds, report: JSON.parse(stdout) };
}

/** The ordering experiment's own way with ordered batches, without the waits of its handler. */
async function ordering({ ordering: path, cores, rounds }) {
  const experiment = program(path, "cargo build --release --example ordering, or --ordering PATH");
  const command = pinned(cores, [experiment, "--way", "c", "--delay", "0", "--format", "json"]);
  const results = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`the ordering experiment: round ${round} of ${rounds}`);
    const { code, stderr, ...told } = await timed(command, PLAIN);
    results.push({ isRight: code === 0, ...told, ...(code === 0 ? {} : { complaint: stderr }) });
  }
  return {
    command: command.map((word) => shown(word)).join(" "),
    isRight: results.every(({ isRight }) => isRight),
    commandSeconds: spread(results.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(results.map(({ cpuSeconds }) => cpuSeconds)),
    rounds: results,
  };
}

module.exports = { aircraft, cosmos, keys, ordering };
