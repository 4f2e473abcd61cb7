// Judges a folder that is to be published, as scripts/package.sh has put it together: whether its program runs on any
// machine with this glibc or a newer one, and, where this machine can start it, how soon it answers.
//
//   node scripts/package/check.js FOLDER GLIBC text|json
//
// Prints a report, or every reason why the folder must not be published and ends with 1.
"use strict";

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { accessSync, constants, readFileSync, readdirSync, statSync } = require("node:fs");
const http = require("node:http");
const { createServer } = require("node:net");
const { join, resolve } = require("node:path");

const { requirements } = require("./elf.js");

// The libraries that are glibc itself. Anything else may be missing where the Functions host runs.
const GLIBC = /^(lib(c|m|dl|rt|pthread|util|resolv)\.so\.\d|ld-linux-x86-64\.so\.2)$/;

// An odd number has a middle.
const STARTS = 11;

// What the host gives a handler to start.
const PATIENCE_MS = 30_000;

async function main([folder, glibc, format]) {
  const { customHandler } = JSON.parse(readFileSync(join(folder, "host.json"), "utf8"));
  const { defaultExecutablePath: name, arguments: words = [] } = customHandler.description;
  const program = resolve(folder, name);
  const { problems, needs } = judge(program, name, glibc);
  if (problems.length) throw new Error(problems.map((problem) => `${name} ${problem}`).join("\n"));
  const times = process.platform === "linux" && process.arch === "x64" ? await starts(program, words, folder) : [];
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
  process.stdout.write(format === "json" ? JSON.stringify(report, null, 2) + "\n" : table(report));
}

/** What is wrong with a program, and the newest glibc it asks for; null for none at all. */
function judge(program, name, glibc) {
  let needed;
  try {
    accessSync(program, constants.X_OK);
    needed = requirements(readFileSync(program));
  } catch ({ code, message }) {
    const reason = { ENOENT: "is not there, though host.json names it", EACCES: "may not be executed (chmod +x)" }[code];
    return { problems: [reason ?? message] };
  }
  const { machine, dynamic, libraries, versions } = needed;
  const problems = [];
  if (machine !== "x86-64") problems.push(`is built for ${machine}, and the Functions host runs on x86-64`);
  if (dynamic && !libraries.length) problems.push("is linked dynamically and does not say to what: it was stripped of too much");
  const others = libraries.filter((library) => !GLIBC.test(library));
  if (others.length) problems.push(`needs ${others.join(", ")}, which not every machine has: link it statically`);
  const wanted = versions.flatMap((version) => version.match(/^GLIBC_(\d+(?:\.\d+)*)$/)?.[1] ?? []).sort(byVersion);
  const newest = wanted.at(-1) ?? null;
  if (newest && byVersion(newest, glibc) > 0) {
    problems.push(`needs glibc ${newest}, and the oldest that it must run on is ${glibc}: build it as scripts/package.sh does`);
  }
  return { problems, needs: newest };
}

function byVersion(one, other) {
  const [left, right] = [one, other].map((version) => version.split(".").map(Number));
  const at = left.findIndex((number, index) => number !== (right[index] ?? 0));
  return at < 0 ? left.length - right.length : left[at] - (right[at] ?? 0);
}

/** The times from the start of the program to its first answer, sorted. */
async function starts(program, words, folder) {
  const times = [];
  for (let run = 0; run < STARTS; run++) times.push(await start(program, words, folder));
  return times.sort((one, other) => one - other);
}

async function start(program, words, folder) {
  const port = await freePort();
  // Nothing of this machine's settings: what is measured is the program.
  const env = { FUNCTIONS_CUSTOMHANDLER_PORT: `${port}`, FUNCTIONS_APP_ROOT_PATH: resolve(folder), StateStore: "memory" };
  const begun = process.hrtime.bigint();
  const child = spawn(program, words, { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  let [ended, errors] = [null, ""];
  child.stderr.on("data", (text) => (errors += text));
  child.on("error", (error) => (ended = error.message));
  // Not "exit": what it said last is to be there, too.
  const closed = new Promise((done) => child.on("close", (code, signal) => done((ended ??= `it ended with ${signal ?? code}`))));
  try {
    for (;;) {
      const answered = await answers(port);
      const milliseconds = Number(process.hrtime.bigint() - begun) / 1e6;
      if (answered) return Math.round(milliseconds * 10) / 10;
      if (milliseconds > PATIENCE_MS) ended = `after ${PATIENCE_MS / 1000} s`;
      if (ended) throw new Error([`does not answer: ${ended}`, ...errors.trim().split("\n").slice(-3)].join("\n").trim());
    }
  } finally {
    // As the host ends it.
    child.kill("SIGKILL");
    await closed;
  }
}

/** Whether something answers HTTP there, whatever it says. */
function answers(port) {
  return new Promise((done) => {
    const request = http.get({ host: "127.0.0.1", port, agent: false }, (response) => done(Boolean(response.resume())));
    request.setTimeout(PATIENCE_MS, () => request.destroy());
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
    : "not measured: this machine is no x86-64 Linux, so the program was not started";
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
