// Validates documents against a published schema, and prints the errors of each, a line per error, as a JSON array. Argument: the
// schema's path below schemas/json of the package schemastore. Standard input: a JSON array of the documents.
"use strict";

const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

const VALIDATORS = {
  "http://json-schema.org/draft-04/schema": "ajv-draft-04",
  "http://json-schema.org/draft-07/schema": "ajv",
  "http://json-schema.org/draft/2019-09/schema": "ajv/dist/2019",
};

/** Returns a schema without members that validators reject: the draft's address, and `id` in drafts with `$id`. */
function normalize({ $schema, ...schema }) {
  if ($schema.includes("draft-04")) return schema;
  return JSON.parse(JSON.stringify(schema), (name, value) => (name === "id" && typeof value === "string" ? undefined : value));
}

const schemas = join(dirname(require.resolve("schemastore/package.json")), "schemas", "json");
const schema = JSON.parse(readFileSync(join(schemas, process.argv[2]), "utf8"));
// Not strict, because the schemas are external.
const Validator = require(VALIDATORS[schema.$schema.replace(/#$/, "")]).default;
const validator = new Validator({ strict: false, unicodeRegExp: false, allErrors: true, validateFormats: false });
const isValid = validator.compile(normalize(schema));
const errors = JSON.parse(readFileSync(0, "utf8")).map((document) => {
  if (isValid(document)) return "";
  const lines = isValid.errors.map(({ instancePath, message, params }) => `${instancePath || "/"}: ${message} ${JSON.stringify(params)}`);
  return [...new Set(lines)].join("\n");
});
process.stdout.write(JSON.stringify(errors));
