// Prints a JSON or YAML file as JSON. Argument: its path.
"use strict";

const { readFileSync } = require("node:fs");
const { parse } = require("yaml");

// JSON is YAML. Merge keys and other versions of YAML are nothing that Azure Pipelines takes.
process.stdout.write(JSON.stringify(parse(readFileSync(process.argv[2], "utf8"), { strict: true, uniqueKeys: true })));
