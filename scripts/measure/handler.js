// A handler as the Functions host starts one: by the port in its environment, and ready when it answers GET /.
"use strict";

const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const { setTimeout: sleep } = require("node:timers/promises");
const { pinned } = require("./cores.js");
const { child: started, signal } = require("./leftovers.js");
const { ROOT } = require("./options.js");
const { Failed } = require("./rounds.js");

/** What every program that is measured inherits: nothing that is a setting, of the product or of a language's runtime. */
const PLAIN = Object.fromEntries(
  ["PATH", "HOME", "LANG", "TMPDIR"].filter((name) => name in process.env).map((name) => [name, process.env[name]]),
);

/** A port that nobody listens at. */
async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Whether something answers there, with whatever status, within so many milliseconds. */
function answers(port, within) {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(within)));
    const request = http.get({ host: "127.0.0.1", port, path: "/", agent: false, signal }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on("error", () => resolve(false));
  });
}

/** A handler that runs. */
class Handler {
  /**
   * Starts one, and waits until it answers.
   *
   * @param {{command: string[], settings?: object, inherited?: object, cores?: string, within?: number}} program `within`
   *   is in milliseconds
   */
  static async start({ command, settings = {}, inherited = PLAIN, cores = "", within = 30_000 }) {
    const port = await freePort();
    const env = { ...inherited, ...settings, FUNCTIONS_CUSTOMHANDLER_PORT: String(port) };
    const onCores = pinned(cores, command);
    const began = performance.now();
    const child = started(onCores, { cwd: ROOT, env, stdio: ["ignore", "ignore", "pipe"] });
    const handler = new Handler(child, port);
    const left = () => began + within - performance.now();
    while (!(await answers(port, left()))) {
      if (handler.ended || left() <= 0) {
        await handler.stop();
        throw new Failed(`${command.join(" ")} does not answer GET /: ${handler.lastWords()}`);
      }
      await sleep(1);
    }
    handler.startMs = performance.now() - began;
    return handler;
  }

  constructor(child, port) {
    Object.assign(this, { child, port, pid: child.pid, ended: false, said: "" });
    child.stderr.on("data", (data) => (this.said = (this.said + data).slice(-4_000)));
    this.end = new Promise((resolve) => {
      const over = (error) => {
        if (error instanceof Error) this.said += error.message;
        this.ended = true;
        resolve();
      };
      child.on("error", over).on("close", over);
    });
  }

  /** The last line that it said before it ended. */
  lastWords() {
    return this.said.trim().split("\n").at(-1) || "it said nothing";
  }

  /** What the system knows of its memory, in bytes. */
  memory() {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    const bytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)[1]) * 1024;
    return { residentBytes: bytes("VmRSS"), peakBytes: bytes("VmHWM") };
  }

  /** Kills it, as the host does at the end. */
  async stop() {
    signal(this.child, "SIGKILL");
    await this.end;
  }
}

/** The product: `devicestate serve` with these settings. */
function product(binary, settings, cores, appRoot = ROOT) {
  // Like the peers it writes no line for each batch to its standard output; its records are in the replies.
  const all = { LogLevel: "warn", FUNCTIONS_APP_ROOT_PATH: appRoot, ...settings };
  return { command: [binary, "serve"], settings: all, cores };
}

module.exports = { Handler, PLAIN, product };
