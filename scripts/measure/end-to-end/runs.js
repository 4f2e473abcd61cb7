// Complete runs with hub, host, handler and store, from the start of the command to its report.
"use strict";

const { existsSync, readFileSync, realpathSync } = require("node:fs");
const { join, parse } = require("node:path");
const { createInterface } = require("node:readline");
const { pinTo } = require("../cores.js");
const { spread } = require("../figures.js");
const { BASE_ENVIRONMENT } = require("../handler.js");
const { signal, startProcess, withFolder } = require("../leftovers.js");
const { program, run } = require("../load.js");
const { ROOT, StartError, displayPath, progress } = require("../options.js");
const { RoundError, failedRound, validOnly } = require("../rounds.js");

/** The state file in the displayed command. */
const STATE = "state.db";

/** The devices of the simulated fleet. */
const DEVICES = 100;

const keys = (options) => {
  const perDevice = options.events / DEVICES;
  if (!Number.isInteger(perDevice)) throw new StartError(`--events must be a multiple of ${DEVICES}, the number of devices`);
  const words = ["--devices", String(DEVICES), "--events", String(perDevice), "--partitions", "20"];
  return local(options, words, options.events);
};

const AIRCRAFT = ["--file", "tests/data/aircraft.jsonl.gz", "--partitions", "20"];
const AIRCRAFT_EVENTS = 139_098;

const aircraft = (options) => local(options, AIRCRAFT, AIRCRAFT_EVENTS);

/** Like `aircraft`, with the documents in a Cosmos DB account in its own process, on the same cores. */
async function cosmos(options) {
  const path = program(
    options.listener,
    "cargo build --release --manifest-path tests/cosmos-listener/Cargo.toml --target-dir target/cosmos-listener, or use --listener PATH",
  );
  const environment = { StateStore: "cosmos" };
  const withAccount = async (execute) => {
    // A new account for each run, which starts without documents.
    const account = startProcess(pinTo(options.cores, [path]), { env: BASE_ENVIRONMENT, stdio: ["pipe", "pipe", "inherit"] });
    const onEnd = new Promise((resolve) => account.on("close", resolve).on("error", resolve));
    try {
      const { value, done } = await createInterface({ input: account.stdout })[Symbol.asyncIterator]().next();
      if (done) throw new RoundError(`${displayPath(path)} ended before it printed its connection string`);
      return await execute({ ...environment, CosmosConnection: JSON.parse(value).connectionString });
    } finally {
      signal(account, "SIGKILL");
      await onEnd;
    }
  };
  const before = `${displayPath(path)} --port 8082 &  # it prints the connection string\nStateStore=cosmos CosmosConnection=… `;
  return local(options, AIRCRAFT, AIRCRAFT_EVENTS, withAccount, before);
}

/**
 * Throws unless `devicestate local` starts itself as the handler. Otherwise another program than --binary would be measured:
 * a file in the app's folder, or, if the binary has another name than in host.json, a command on the PATH.
 */
function ensureHandler(binary, root = ROOT) {
  const { customHandler } = JSON.parse(readFileSync(join(root, "host.json"), "utf8"));
  const { defaultExecutablePath: name, workingDirectory = "" } = customHandler.description;
  const other = join(root, workingDirectory, name);
  if (existsSync(other))
    throw new StartError(`devicestate local would start ${displayPath(other)} as its handler instead of itself; remove that file`);
  const file = realpathSync(binary);
  if (parse(file).name !== name)
    throw new StartError(
      `devicestate local starts itself as its handler only if it is named ${name}, not ${displayPath(file)}`,
    );
}

/** Repeats a run, and updates the results after each round. */
async function inRounds({ rounds: count, update }, title, execute, figures) {
  const rounds = [];
  for (let round = 1; round <= count; round++) {
    progress(`${title}: round ${round} of ${count}`);
    rounds.push({ round, ...(await execute().catch(failedRound)) });
    const error = rounds.find(({ isValid }) => !isValid)?.error;
    update({ isValid: rounds.every(({ isValid }) => isValid), error, ...figures(validOnly(rounds)), rounds });
  }
}

/** Runs `devicestate local`, each time with a new state file. */
function local(options, args, events, withSettings = (execute) => execute({}), before = "") {
  const { binary, cores } = options;
  const command = (state) => pinTo(cores, [binary, "local", ...args, "--state", state, "--output", "jsonl"]);
  const execute = () =>
    withFolder((folder) =>
      withSettings((settings) => runLocal(command(join(folder, STATE)), { ...BASE_ENVIRONMENT, Telemetry: "drone", ...settings }, events)),
    );
  const figures = (rounds) => ({
    command: `${before}Telemetry=drone ` + command(STATE).map(displayPath).join(" "),
    events,
    commandSeconds: spread(rounds.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(rounds.map(({ cpuSeconds }) => cpuSeconds)),
    runSeconds: spread(rounds.map(({ report }) => report.seconds)),
    eventsPerSecond: spread(rounds.map(({ report }) => report.eventsPerSecond)),
  });
  return inRounds(options, `devicestate local ${args.join(" ")}`, execute, figures);
}

async function runLocal(command, env, events) {
  const { code, stderr, report, ...times } = await timed(command, env);
  delete report.state;
  const isValid = code === 0 && report.events.received === events && report.events.lost === 0;
  const error = isValid ? undefined : report.error || stderr.trim() || `exit code ${code}, or not all events`;
  return { isValid, ...times, report, error };
}

/** Runs a command and reads its report. The processor time is that of all its processes. */
async function timed(command, env) {
  const began = performance.now();
  const shell = ["sh", "-c", '"$@"; code=$?; times >&2; exit $code', "sh", ...command];
  const { code, stdout, stderr } = await run(shell, { env, cwd: ROOT });
  const commandSeconds = (performance.now() - began) / 1000;
  if (!stdout) throw new RoundError(`${command.join(" ")} printed nothing (exit code ${code}): ${stderr.trim()}`);
  // The last line has the user and system times of the shell's child processes.
  const lines = stderr.trim().split("\n");
  const times = [...lines.pop().matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => minutes * 60 + Number(seconds),
  );
  const cpuSeconds = times.reduce((sum, time) => sum + time, 0);
  return { code, stderr: lines.slice(0, -1).join("\n"), commandSeconds, cpuSeconds, report: JSON.parse(stdout) };
}

/** Runs the ordering experiment with ordered batches, without its handler's delays. */
function ordering(options) {
  const experiment = program(
    options.ordering,
    "cargo build --profile dist --package devicestate-ordering, or use --ordering PATH",
  );
  const command = pinTo(options.cores, [experiment, "--strategy", "c", "--delay", "0", "--output", "jsonl"]);
  const execute = async () => {
    const { code, stderr, ...measured } = await timed(command, BASE_ENVIRONMENT);
    return { isValid: code === 0, ...measured, error: code === 0 ? undefined : stderr || `exit code ${code}` };
  };
  const figures = (rounds) => ({
    command: command.map(displayPath).join(" "),
    commandSeconds: spread(rounds.map(({ commandSeconds }) => commandSeconds)),
    cpuSeconds: spread(rounds.map(({ cpuSeconds }) => cpuSeconds)),
  });
  return inRounds(options, "the ordering experiment", execute, figures);
}

module.exports = { aircraft, cosmos, ensureHandler, keys, ordering };
