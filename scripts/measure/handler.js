// A handler as the Functions host starts one: by the port in its environment, and ready when it answers GET /.
"use strict";

const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const { setTimeout: sleep } = require("node:timers/promises");
const { child: started } = require("./leftovers.js");
const { canPin } = require("./machine.js");
const { ROOT } = require("./options.js");

/** What a program inherits: nothing that is a setting of the product. */
const PLAIN = Object.fromEntries(
  ["PATH", "HOME", "LANG", "TMPDIR"].filter((name) => name in process.env).map((name) => [name, process.env[name]]),
);

/** A command on these cores, where it can be pinned. */
function pinned(cores, [program, ...words]) {
  return cores !== "" && canPin() ? ["taskset", "--cpu-list", String(cores), program, ...words] : [program, ...words];
}

/** A port that nobody listens at. */
async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Whether something answers there, with whatever status. */
function answers(port) {
  return new Promise((resolve) => {
    const request = http.get({ host: "127.0.0.1", port, path: "/", agent: false }, (response) => {
      response.resume();
      resolve(true);
    });
    request.on("error", () => resolve(false));
  });
}

/** A program that is a handler: its command, what is set for it, and the cores that it may use. */
class Handler {
  /**
   * Starts one, and waits until it answers.
   *
   * @param {{command: string[], environment?: object, cores?: string, cwd?: string, within?: number}} program `within` is
   *   in milliseconds
   */
  static async start({ command, environment = PLAIN, cores = "", cwd = ROOT, within = 30_000 }) {
    const port = await freePort();
    const env = { ...environment, FUNCTIONS_CUSTOMHANDLER_PORT: String(port) };
    const began = performance.now();
    const child = started(pinned(cores, command), { cwd, env, stdio: ["ignore", "ignore", "pipe"] });
    const handler = new Handler(child, port);
    while (!(await answers(port))) {
      if (handler.ended || performance.now() - began > within) {
        await handler.stop();
        throw new Error(`${command.join(" ")} does not answer GET /: ${handler.lastWords()}`);
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
    this.child.kill("SIGKILL");
    await this.end;
  }
}

/** The product: `devicestate serve` with these settings. */
function product(binary, settings, cores, appRoot = ROOT) {
  const environment = { ...PLAIN, LogLevel: "warn", FUNCTIONS_APP_ROOT_PATH: appRoot, ...settings };
  return { command: [binary, "serve"], environment, cores };
}

module.exports = { Handler, PLAIN, pinned, product };
