// The raw results: a file that is new, has all that is known so far, and is complete JSON whenever somebody looks.
"use strict";

const { mkdirSync, renameSync, writeFileSync } = require("node:fs");
const { dirname, join, resolve } = require("node:path");
const { PLAIN } = require("./handler.js");
const { busy, machine } = require("./machine.js");
const { CannotBegin, ROOT, progress, shown } = require("./options.js");

/**
 * Begins the results of a measurement. `results` is what the measurement fills, `keep` writes it after each round, and
 * `conclude` at the end, when it prints it besides.
 */
function begin(what, options, more) {
  const about = machine();
  const results = { what, isComplete: false, machine: about, options, inherited: Object.keys(PLAIN), ...more };
  // To the second, so that no run of a day is written over by the next one.
  const time = about.date.slice(0, 19).replaceAll(":", "-");
  const file = resolve(options.output || join(ROOT, "benches/results", `${time}-${what}.json`));
  mkdirSync(dirname(file), { recursive: true });
  try {
    writeFileSync(file, `${json(results)}\n`, { flag: "wx" });
  } catch ({ code, message }) {
    throw new CannotBegin(code === "EEXIST" ? `there is ${shown(file)} already, and it stays as it is` : message);
  }
  const warning = busy(about);
  if (warning) console.error(warning);

  const keep = () => {
    // Renamed, so that nobody finds half of it.
    writeFileSync(`${file}.new`, `${json(results)}\n`);
    renameSync(`${file}.new`, file);
  };
  const conclude = (asTables) => {
    progress("");
    results.isComplete = true;
    keep();
    console.log(options.format === "json" ? json(results) : asTables(results).join("\n\n"));
    console.error(`\nThe raw results: ${shown(file)}`);
  };
  return { results, keep, conclude };
}

/** As text. Where the repository lies is of no interest to others. */
function json(results) {
  const relative = (_, value) =>
    typeof value === "string" ? value.replaceAll(`${ROOT}/`, "").replaceAll(ROOT, ".") : value;
  return JSON.stringify(results, relative, 2);
}

module.exports = { begin };
