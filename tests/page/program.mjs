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
    const child = spawn(PROGRAM, args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    const printed = [];
    const address = await new Promise((resolve, reject) => {
      // The pipes are read until the end, because a full one would stop the program.
      for (const input of [child.stdout, child.stderr]) {
        createInterface({ input }).on("line", (line) => {
          printed.push(line);
          const found = /http:\/\/127\.0\.0\.1:\d+\/\?token=\S+/.exec(line);
          if (found) resolve(found[0]);
        });
      }
      child.on("error", reject);
      child.on("exit", () => reject(new Error(`devicestate ${args.join(" ")} ended: ${printed.join("\n")}`)));
    });
    return new Program(child, address);
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
