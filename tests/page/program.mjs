// The program itself, as it runs on a developer's machine.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "./browser.mjs";

export const PROGRAM = join(ROOT, "target/debug/devicestate");

/** A running `devicestate` with a page. */
export class Program {
  /** Starts it with these arguments, and waits for the address of the page. */
  static async start(args) {
    const child = spawn(PROGRAM, args, { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
    const printed = [];
    for await (const line of createInterface({ input: child.stderr })) {
      printed.push(line);
      const address = /http:\/\/127\.0\.0\.1:\d+\/\?token=\S+/.exec(line)?.[0];
      if (address) {
        // A full pipe would stop the program.
        child.stderr.resume();
        return new Program(child, address);
      }
    }
    throw new Error(`${args.join(" ")} ended: ${printed.join("\n")}`);
  }

  constructor(child, address) {
    this.child = child;
    this.address = address;
  }

  /** Ends it as Ctrl-C does, and returns its exit code. */
  async end() {
    if (this.child.exitCode !== null) return this.child.exitCode;
    this.child.kill("SIGTERM");
    const [code] = await once(this.child, "exit");
    return code;
  }
}

/** Runs a command line of a shell as a developer pastes it, and returns its output. */
export async function shell(command) {
  const child = spawn("sh", ["-c", command.replaceAll(/(^|\s)devicestate(?= )/g, `$1${PROGRAM}`)], { cwd: ROOT });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`);
  return output;
}

/** Creates a folder for the state, and removes it at the end. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), "devicestate-page-"));
  return { state: join(path, "state.db"), remove: () => rmSync(path, { recursive: true, force: true }) };
}
