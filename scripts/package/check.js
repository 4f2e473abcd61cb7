// Checks a package folder created by scripts/package.sh: whether its program runs on any machine with this glibc or a newer
// one, and, if this machine can start it, its start time.
//
//   node scripts/package/check.js FOLDER GLIBC table|json|jsonl
//
// Prints a report, or all reasons why the folder must not be published, with exit code 1.
"use strict";

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { accessSync, constants, readFileSync, readdirSync, statSync } = require("node:fs");
const http = require("node:http");
const { createServer } = require("node:net");
const { join, resolve } = require("node:path");

const { requirements } = require("./elf.js");

// The version of docs/reference/output.schema.json.
const SCHEMA_VERSION = 1;

// The libraries of glibc. Any other may be missing where the Functions host runs.
const GLIBC = /^(lib(c|m|dl|rt|pthread|util|resolv)\.so\.\d|ld-linux-x86-64\.so\.2)$/;

// An odd number, so that there is a median.
const STARTS = 11;

// The host's time limit for the start of a handler.
const MAX_START_MS = 30_000;

async function main([folder, glibc, format]) {
  const { customHandler } = JSON.parse(readFileSync(join(folder, "host.json"), "utf8"));
  const { defaultExecutablePath: name, arguments: args = [] } = customHandler.description;
  const program = resolve(folder, name);
  const { problems, needs } = checkProgram(program, name, glibc);
  if (problems.length) throw new Error(problems.map((problem) => `${name} ${problem}`).join("\n"));
  const times = process.platform === "linux" && process.arch === "x64" ? await starts(program, args, folder) : [];
  const files = readdirSync(folder, { recursive: true }).filter((file) => statSync(join(folder, file)).isFile()).sort();
  const size = (file) => statSync(join(folder, file)).size;
  const report = {
    files,
    folderBytes: files.map(size).reduce((sum, bytes) => sum + bytes, 0),
    binaryBytes: size(name),
    glibc: needs,
    starts: times.length,
    startMilliseconds: times.length ? times[(times.length - 1) / 2] : null,
    startMillisecondsBetween: times.length ? [times[0], times.at(-1)] : null,
  };
  const envelope = { command: "package", schemaVersion: SCHEMA_VERSION, outcome: "succeeded", data: report };
  const print = {
    table: () => table(report),
    json: () => `${JSON.stringify(envelope, null, 2)}\n`,
    jsonl: () => `${JSON.stringify(report)}\n`,
  };
  process.stdout.write(print[format]());
}

/** Returns the problems of a program, and the newest glibc that it needs; null if it needs none. */
function checkProgram(program, name, glibc) {
  let needed;
  try {
    accessSync(program, constants.X_OK);
    needed = requirements(readFileSync(program));
  } catch ({ code, message }) {
    const reason = { ENOENT: "is missing, but host.json names it", EACCES: "is not executable (chmod +x)" }[code];
    return { problems: [reason ?? message] };
  }
  const { machine, dynamic, libraries, versions } = needed;
  const problems = [];
  if (machine !== "x86-64") problems.push(`is built for ${machine}, but the Functions host runs on x86-64`);
  if (dynamic && !libraries.length) problems.push("is linked dynamically, but its list of libraries is missing: it was stripped too much");
  const others = libraries.filter((library) => !GLIBC.test(library));
  if (others.length) problems.push(`needs ${others.join(", ")}, which may be missing on the host: link statically`);
  const glibcVersions = versions.flatMap((version) => version.match(/^GLIBC_(\d+(?:\.\d+)*)$/)?.[1] ?? []).sort(byVersion);
  const newest = glibcVersions.at(-1) ?? null;
  if (newest && byVersion(newest, glibc) > 0) {
    problems.push(`needs glibc ${newest}, but must run on ${glibc}: build it with scripts/package.sh`);
  }
  return { problems, needs: newest };
}

function byVersion(one, other) {
  const [left, right] = [one, other].map((version) => version.split(".").map(Number));
  const at = left.findIndex((number, index) => number !== (right[index] ?? 0));
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? 0);
}

/** Returns the sorted times from the start of the program to its first answer. */
async function starts(program, args, folder) {
  const times = [];
  for (let run = 0; run < STARTS; run++) times.push(await start(program, args, folder));
  return times.sort((one, other) => one - other);
}

async function start(program, args, folder) {
  const port = await freePort();
  // Without this machine's settings.
  const env = { FUNCTIONS_CUSTOMHANDLER_PORT: `${port}`, FUNCTIONS_APP_ROOT_PATH: resolve(folder), StateStore: "memory" };
  const begun = process.hrtime.bigint();
  const child = spawn(program, args, { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  let [ended, errors] = [null, ""];
  child.stderr.on("data", (text) => (errors += text));
  child.on("error", (error) => (ended = error.message));
  // "close" instead of "exit": its last output must be complete.
  const closed = new Promise((done) => child.on("close", (code, signal) => done((ended ??= `it ended with ${signal ?? code}`))));
  try {
    for (;;) {
      const answered = await answers(port);
      const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
      if (answered) return Math.round(milliseconds * 10) / 10;
      if (milliseconds > MAX_START_MS) ended = `after ${MAX_START_MS / 1000} s`;
      if (ended) throw new Error([`does not answer: ${ended}`, ...errors.trim().split("\n").slice(-3)].join("\n").trim());
    }
  } finally {
    // As the host does.
    child.kill("SIGKILL");
    await closed;
  }
}

/** Returns whether the port answers an HTTP request, with any status. */
function answers(port) {
  return new Promise((done) => {
    const request = http.get({ host: "127.0.0.1", port, agent: false }, (response) => done(Boolean(response.resume())));
    request.setTimeout(MAX_START_MS, () => request.destroy());
    request.on("error", () => done(false));
  });
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function table({ files, binaryBytes, folderBytes, glibc, starts: runs, startMilliseconds, startMillisecondsBetween }) {
  const bytes = (count) => `${count.toLocaleString("en")} bytes`;
  const start = runs
    ? `${startMilliseconds} ms to the first answer (median of ${runs}, ${startMillisecondsBetween.join(" to ")})`
    : "not measured: this machine is not x86-64 Linux";
  const rows = [
    ["files", files.join(", ")],
    ["folder", bytes(folderBytes)],
    ["binary", bytes(binaryBytes)],
    ["glibc", glibc ? `${glibc} or newer` : "none needed: static"],
    ["start", start],
  ];
  return ["PACKAGE", ...rows.map(([name, value]) => name.padEnd(8) + value)].join("\n") + "\n";
}

main(process.argv.slice(2)).catch((error) => {
  process.stderr.write(error.message.replace(/^/gm, "package: ") + "\n");
  process.exitCode = 1;
});
