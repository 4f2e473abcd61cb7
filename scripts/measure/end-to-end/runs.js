// Whole runs: hub, host, handler and store, from the start of the command to its report.
"use strict";

const { existsSync, readFileSync, realpathSync } = require("node:fs");
const { join, parse } = require("node:path");
const { createInterface } = require("node:readline");
const { pinned } = require("../cores.js");
const { spread } = require("../figures.js");
const { PLAIN } = require("../handler.js");
const { child, inFolder, signal } = require("../leftovers.js");
const { program, run } = require("../load.js");
const { CannotBegin, ROOT, progress, shown } = require("../options.js");
const { Failed, notRight, right } = require("../rounds.js");

/** Where the state goes when a person repeats a run. */
const STATE = "state.db";

/** The devices of the simulated fleet. */
const DEVICES = 100;

const keys = (options) => {
  const perDevice = options.events / DEVICES;
  if (!Number.isInteger(perDevice)) throw new CannotBegin(`--events must be a multiple of ${DEVICES}, the number of devices`);
  const words = ["--devices", String(DEVICES), "--events", String(perDevice), "--partitions", "20"];
  return local(options, words, options.events);
};

const AIRCRAFT = ["--file", "tests/data/aircraft.jsonl.gz", "--partitions", "20"];
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
    const account = child(pinned(options.cores, [path]), { env: PLAIN, stdio: ["pipe", "pipe", "inherit"] });
    const over = new Promise((resolve) => account.on("close", resolve).on("error", resolve));
    try {
      const { value, done } = await createInterface({ input: account.stdout })[Symbol.asyncIterator]().next();
      if (done) throw new Failed(`${shown(path)} ended before it told its connection string`);
      return await play({ ...environment, CosmosConnection: JSON.parse(value).connectionString });
    } finally {
      signal(account, "SIGKILL");
      await over;
    }
  };
  const before = `${shown(path)} --port 8082 &  # it prints the connection string\nStateStore=cosmos CosmosConnection=… `;
  return local(options, AIRCRAFT, AIRCRAFT_EVENTS, each, before);
}

/**
 * Makes sure that `devicestate local` starts itself as the handler. A file in the app's folder comes before it, and where it
 * has another name than the app says it is a command on the PATH: something else than --binary would be measured.
 */
function ensureHandler(binary, root = ROOT) {
  const { customHandler } = JSON.parse(readFileSync(join(root, "host.json"), "utf8"));
  const { defaultExecutablePath: name, workingDirectory = "" } = customHandler.description;
  const other = join(root, workingDirectory, name);
  if (existsSync(other))
    throw new CannotBegin(`devicestate local would start ${shown(other)} as its handler, and not itself: remove that`);
  const file = realpathSync(binary);
  if (parse(file).name !== name)
    throw new CannotBegin(
      `devicestate local starts itself as its handler only where it is called ${name}, and not ${shown(file)}`,
    );
}

/** Plays a run again and again, and tells each time what is known so far. */
async function inRounds({ rounds: count, tell }, title, play, figures) {
  const rounds = [];
  for (let round = 1; round <= count; round++) {
    progress(`${title}: round ${round} of ${count}`);
    rounds.push({ round, ...(await play().catch(notRight)) });
    const complaint = rounds.find(({ isRight }) => !isRight)?.complaint;
    tell({ isRight: rounds.every(({ isRight }) => isRight), complaint, ...figures(right(rounds)), rounds });
  }
}

/** `devicestate local`, each time with a new state file. */
function local(options, words, events, each = (play) => play({}), before = "") {
  const { binary, cores } = options;
  const command = (state) => pinned(cores, [binary, "local", ...words, "--state", state, "--output", "json"]);
  const play = () =>
    inFolder((folder) =>
      each((settings) => played(command(join(folder, STATE)), { ...PLAIN, ...settings }, events)),
    );
  const figures = (rounds) => ({
    command: before + command(STATE).map(shown).join(" "),
    events,
    commandSeconds: spread(rounds.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(rounds.map(({ cpuSeconds }) => cpuSeconds)),
    runSeconds: spread(rounds.map(({ report }) => report.seconds)),
    eventsPerSecond: spread(rounds.map(({ report }) => report.eventsPerSecond)),
  });
  return inRounds(options, `devicestate local ${words.join(" ")}`, play, figures);
}

async function played(command, env, events) {
  const { code, stderr, report: output, ...took } = await timed(command, env);
  const report = output.data;
  delete report.state;
  const isRight = code === 0 && report.events.received === events && report.events.lost === 0;
  const complaint = isRight ? undefined : report.error || stderr.trim() || `exit code ${code}, or not all events`;
  return { isRight, ...took, report, complaint };
}

/** Runs a command to its end, and reads its report; the processor time is that of all its processes. */
async function timed(command, env) {
  const began = performance.now();
  const shell = ["sh", "-c", '"$@"; code=$?; times >&2; exit $code', "sh", ...command];
  const { code, stdout, stderr } = await run(shell, { env, cwd: ROOT });
  const commandSeconds = (performance.now() - began) / 1000;
  if (!stdout) throw new Failed(`${command.join(" ")} told nothing (exit code ${code}): ${stderr.trim()}`);
  // The last line has the user and the system time of what the shell has waited for.
  const lines = stderr.trim().split("\n");
  const times = [...lines.pop().matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => minutes * 60 + Number(seconds),
  );
  const cpuSeconds = times.reduce((sum, time) => sum + time, 0);
  return { code, stderr: lines.slice(0, -1).join("\n"), commandSeconds, cpuSeconds, report: JSON.parse(stdout) };
}

/** The ordering experiment's own way with ordered batches, without the waits of its handler. */
function ordering(options) {
  const experiment = program(
    options.ordering,
    "cargo build --profile dist --package devicestate-ordering, or --ordering PATH",
  );
  const command = pinned(options.cores, [experiment, "--way", "c", "--delay", "0", "--format", "json"]);
  const play = async () => {
    const { code, stderr, ...told } = await timed(command, PLAIN);
    return { isRight: code === 0, ...told, complaint: code === 0 ? undefined : stderr || `exit code ${code}` };
  };
  const figures = (rounds) => ({
    command: command.map(shown).join(" "),
    commandSeconds: spread(rounds.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(rounds.map(({ cpuSeconds }) => cpuSeconds)),
  });
  return inRounds(options, "the ordering experiment", play, figures);
}

module.exports = { aircraft, cosmos, ensureHandler, keys, ordering };
