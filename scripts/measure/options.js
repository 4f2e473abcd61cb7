// Command line options, and how a measurement ends.
"use strict";

const { relative, resolve } = require("node:path");
const { parseArgs } = require("node:util");

const ROOT = resolve(__dirname, "../..");

/** A measurement cannot start. It is reported in one line, with exit code 2. */
class StartError extends Error {}

/** Returns a path relative to the repository, if it is inside. */
const displayPath = (path) => (relative(ROOT, path).startsWith("..") ? path : relative(ROOT, path));

const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
const camel = (name) => name.replace(/-([a-z])/g, (_, letter) => letter.toUpperCase());

/**
 * Parses the arguments. The options are those of `defaults`, in camel case, and their types those of the default values.
 * Returns null if the arguments ask for help.
 */
function parseOptions(args, defaults) {
  const known = { results: "", output: "table", ...defaults };
  const options = { help: { type: "boolean", short: "h" } };
  for (const name of Object.keys(known)) options[kebab(name)] = { type: "string" };
  options.output.short = "o";
  let values;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch ({ message }) {
    const reason = message.split(". ")[0].replace("Unknown option", "unknown option");
    throw new StartError(`${reason}; run with --help to list the options`);
  }
  if (values.help) return null;
  const given = Object.entries(known).map(([name, value]) => [name, convert(kebab(name), values[kebab(name)], value)]);
  const result = Object.fromEntries(given);
  if (!["table", "json", "jsonl"].includes(result.output))
    throw new StartError(`--output must be table, json or jsonl, not "${result.output}"`);
  return result;
}

function convert(name, text, defaultValue) {
  if (text === undefined) return defaultValue;
  const number = (word) => {
    if (word.trim() === "" || !(Number(word) >= 0)) throw new StartError(`--${name} must be a number of at least 0, not "${text}"`);
    return Number(word);
  };
  if (Array.isArray(defaultValue)) {
    const values = text.split(",");
    return typeof defaultValue[0] === "number" ? values.map(number) : values;
  }
  return typeof defaultValue === "number" ? number(text) : text;
}

/** Throws unless the system is Linux, whose /proc and taskset the measurements need. */
function ensureLinux(platform = process.platform) {
  if (platform !== "linux") throw new StartError(`measurements run on Linux only (/proc, taskset), not on ${platform}`);
}

/** Shows on standard error what is being measured, if that is a terminal. */
function progress(text) {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

/** Runs a measurement. `measure` returns whether all of it succeeded. */
async function main(name, help, defaults, measure) {
  process.exitCode = 2;
  try {
    const options = parseOptions(process.argv.slice(2), defaults);
    if (!options) console.log(help);
    else ensureLinux();
    process.exitCode = !options || (await measure(options)) ? 0 : 1;
  } catch (error) {
    progress("");
    if (!(error instanceof StartError)) process.exitCode = 1;
    console.error(`${name}: ${error instanceof StartError ? error.message : error.stack}`);
  }
}

module.exports = { ROOT, StartError, camel, displayPath, ensureLinux, kebab, main, progress };
