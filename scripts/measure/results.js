// The results of a measurement: printed at the end, and kept in a new file, which is complete JSON at any time.
"use strict";

const { mkdirSync, renameSync, writeFileSync } = require("node:fs");
const { dirname, join, resolve } = require("node:path");
const { BASE_ENVIRONMENT } = require("./handler.js");
const { loadWarning, machine } = require("./machine.js");
const { ROOT, StartError, displayPath, progress } = require("./options.js");

/** The version of docs/reference/output.schema.json. */
const SCHEMA_VERSION = 1;

/**
 * Starts the results of a measurement. The measurement fills `results`, calls `save` after each round, and `finish` at the
 * end with whether it succeeded, which prints the results.
 */
function startResults(measurement, options, more) {
  const about = machine();
  const results = { isComplete: false, machine: about, options, inherited: Object.keys(BASE_ENVIRONMENT), ...more };
  // Includes the time, so that a run does not collide with another one of the same day.
  const time = about.date.slice(0, 19).replaceAll(":", "-");
  const file = resolve(options.results || join(ROOT, "benches/results", `${time}-${measurement}.json`));
  mkdirSync(dirname(file), { recursive: true });
  try {
    writeFileSync(file, `${json(results)}\n`, { flag: "wx" });
  } catch ({ code, message }) {
    throw new StartError(
      code === "EEXIST" ? `${displayPath(file)} already exists and is not overwritten; use another --results` : message,
    );
  }
  const warning = loadWarning(about);
  if (warning) console.error(warning);

  const save = () => {
    // Renamed, so that readers never see an incomplete file.
    writeFileSync(`${file}.new`, `${json(results)}\n`);
    renameSync(`${file}.new`, file);
  };
  const finish = (isValid, toTables) => {
    progress("");
    results.isComplete = true;
    save();
    const outcome = isValid ? "succeeded" : "failed";
    const envelope = { command: measurement, schemaVersion: SCHEMA_VERSION, outcome, data: results };
    const print = {
      table: () => toTables(results).join("\n\n"),
      json: () => json(envelope),
      jsonl: () => json(results, 0),
    };
    console.log(print[options.output]());
    console.error(`\nRaw results: ${displayPath(file)}`);
    return isValid;
  };
  return { results, save, finish };
}

/** Returns the results as JSON, without the path of the repository. */
function json(results, indent = 2) {
  const relative = (_, value) =>
    typeof value === "string" ? value.replaceAll(`${ROOT}/`, "").replaceAll(ROOT, ".") : value;
  return JSON.stringify(results, relative, indent);
}

module.exports = { startResults };
