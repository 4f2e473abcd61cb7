// Starts a handler as the Functions host does: the port is in its environment, and it is ready when it answers GET /.
"use strict";

const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const { setTimeout: sleep } = require("node:timers/promises");
const { pinTo } = require("./cores.js");
const { startProcess, signal } = require("./leftovers.js");
const { ROOT } = require("./options.js");
const { RoundError } = require("./rounds.js");

/** The environment that every measured program inherits. It has no settings of the product or of a language runtime. */
const BASE_ENVIRONMENT = Object.fromEntries(
  ["PATH", "HOME", "LANG", "TMPDIR"].filter((name) => name in process.env).map((name) => [name, process.env[name]]),
);

/** Returns a free port. */
async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Returns the headers of the answer to an HTTP request, which may have any status; null if there is none in time. */
function answer(port, timeoutMs) {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
    const request = http.get({ host: "127.0.0.1", port, path: "/", agent: false, signal }, (response) => {
      response.resume();
      resolve(response.headers);
    });
    request.on("error", () => resolve(null));
  });
}

/** A running handler. */
class Handler {
  /**
   * Starts a handler and waits until it answers.
   *
   * @param {{command: string[], settings?: object, inherited?: object, cores?: string, timeoutMs?: number}} program
   */
  static async start({ command, settings = {}, inherited = BASE_ENVIRONMENT, cores = "", timeoutMs = 30_000 }) {
    const port = await freePort();
    const env = { ...inherited, ...settings, FUNCTIONS_CUSTOMHANDLER_PORT: String(port) };
    const onCores = pinTo(cores, command);
    const began = performance.now();
    const child = startProcess(onCores, { cwd: ROOT, env, stdio: ["ignore", "ignore", "pipe"] });
    const handler = new Handler(child, port);
    const left = () => began + timeoutMs - performance.now();
    let headers;
    while (!(headers = await answer(port, left()))) {
      if (handler.ended || left() <= 0) {
        await handler.stop();
        throw new RoundError(`${command.join(" ")} does not answer GET /: ${handler.lastLine()}`);
      }
      await sleep(1);
    }
    handler.startMs = performance.now() - began;
    handler.runtime = headers["x-runtime"] ?? null;
    return handler;
  }

  constructor(child, port) {
    Object.assign(this, { child, port, pid: child.pid, ended: false, stderr: "" });
    child.stderr.on("data", (data) => (this.stderr = (this.stderr + data).slice(-4_000)));
    this.end = new Promise((resolve) => {
      const onEnd = (error) => {
        if (error instanceof Error) this.stderr += error.message;
        this.ended = true;
        resolve();
      };
      child.on("error", onEnd).on("close", onEnd);
    });
  }

  /** Returns the last line of its standard error. */
  lastLine() {
    return this.stderr.trim().split("\n").at(-1) || "no error output";
  }

  /** Returns its memory in bytes. */
  memory() {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]) * 1024;
    return { residentBytes: bytes("VmRSS"), peakBytes: bytes("VmHWM") };
  }

  /** Kills it, as the host does when it ends. */
  async stop() {
    signal(this.child, "SIGKILL");
    await this.end;
  }
}

/** Returns the program `devicestate serve` with these settings. */
function product(binary, settings, cores, appRoot = ROOT) {
  // With LogLevel=warn it does not log each batch on standard output, like the peers; its records are in the replies.
  const all = { LogLevel: "warn", FUNCTIONS_APP_ROOT_PATH: appRoot, ...settings };
  return { command: [binary, "serve"], settings: all, cores };
}

module.exports = { Handler, BASE_ENVIRONMENT, freePort, product };
