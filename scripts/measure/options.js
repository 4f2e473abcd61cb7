// The words of the command line, and how a measurement ends.
"use strict";

const { relative, resolve } = require("node:path");
const { parseArgs } = require("node:util");

const ROOT = resolve(__dirname, "../..");

/** What keeps a measurement from its beginning; said to people in one line. */
class CannotBegin extends Error {}

/** A path as it is told: from the repository where it lies in it. */
const shown = (path) => (relative(ROOT, path).startsWith("..") ? path : relative(ROOT, path));

/** The words by these defaults, of which the types are kept; null when they ask for help. */
function read(words, defaults) {
  const known = { ...defaults, output: "", format: "table" };
  const options = { help: { type: "boolean", short: "h" } };
  for (const name of Object.keys(known)) options[name] = { type: "string" };
  let values;
  try {
    ({ values } = parseArgs({ args: words, options }));
  } catch ({ message }) {
    throw new CannotBegin(`${message.split(". ")[0]}; --help tells the options`);
  }
  if (values.help) return null;
  const given = Object.entries(known).map(([name, value]) => [name, converted(name, values[name], value)]);
  const result = Object.fromEntries(given);
  if (!["table", "json"].includes(result.format)) throw new CannotBegin("--format is table or json");
  return result;
}

function converted(name, text, otherwise) {
  if (text === undefined) return otherwise;
  const amount = (word) => {
    if (word.trim() === "" || !(Number(word) >= 0))
      throw new CannotBegin(`--${name} needs a number, and ${text} is none`);
    return Number(word);
  };
  if (Array.isArray(otherwise)) {
    const words = text.split(",");
    return typeof otherwise[0] === "number" ? words.map(amount) : words;
  }
  return typeof otherwise === "number" ? amount(text) : text;
}

/** Where else would processor time and memory of a process be told, and cores be given out? */
function ensureLinux(platform = process.platform) {
  if (platform !== "linux")
    throw new CannotBegin(`this measures on Linux only, with its /proc and taskset, and here is ${platform}`);
}

/** Says on standard error what is measured just now, where somebody looks. */
function progress(text) {
  if (!process.stderr.isTTY) return;
  process.stderr.write(`\r\x1b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
}

/** Runs a measurement: `measure` gives back whether all of it went well. */
async function main(name, help, defaults, measure) {
  process.exitCode = 2;
  try {
    const options = read(process.argv.slice(2), defaults);
    if (!options) console.log(help);
    else ensureLinux();
    process.exitCode = !options || (await measure(options)) ? 0 : 1;
  } catch (error) {
    progress("");
    if (!(error instanceof CannotBegin)) process.exitCode = 1;
    console.error(`${name}: ${error instanceof CannotBegin ? error.message : error.stack}`);
  }
}

module.exports = { CannotBegin, ROOT, ensureLinux, main, progress, read, shown };
