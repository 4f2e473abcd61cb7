// Prints a JSON or YAML file as JSON. Argument: its path.
"use strict";

const { readFileSync } = require("node:fs");
const { parse } = require("yaml");

// JSON is YAML. Azure Pipelines supports neither merge keys nor other YAML versions.
process.stdout.write(JSON.stringify(parse(readFileSync(process.argv[2], "utf8"), { strict: true, uniqueKeys: true })));
