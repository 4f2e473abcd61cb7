// Reads the outputs of a deployment with the Azure CLI. The smoke test uses it as a module, the bash scripts as a command:
//
//   node scripts/deployment.js GROUP OUTPUT [DEFAULT]
//
// prints an output of the deployment in a resource group. If the deployment does not have the output, it prints DEFAULT, or
// an error with exit code 2.
"use strict";

const { spawnSync } = require("node:child_process");

// This output identifies a deployment of infra/main.bicep, whose name may differ: azd uses its own names.
const IDENTIFYING_OUTPUT = "AZURE_FUNCTION_APP_NAME";

/** Runs `az` and returns its output. If it fails, throws an error with this message and the error output of `az`. */
function az(errorMessage, ...args) {
  const { error, status, stdout, stderr } = spawnSync("az", args, { encoding: "utf8", maxBuffer: Infinity });
  if (error?.code === "ENOENT") throw new Error("the command az is required but not installed");
  if (error || status !== 0) throw new Error(`${errorMessage}\n${error?.message ?? stderr}`.trim());
  return stdout.trim();
}

/** Returns a function that returns an output of the deployment in a resource group, or a default value. */
function deploymentOutputs(group) {
  const errorMessage =
    `there is no deployment of infra/main.bicep in ${group}: run scripts/deploy-infra.sh or azd, and check the subscription ` +
    "(az account show)";
  const args = ["--resource-group", group, "--query", "[].properties.{outputs: outputs, timestamp: timestamp}"];
  const deployments = JSON.parse(az(errorMessage, "deployment", "group", "list", ...args, "--output", "json"));
  const newestFirst = deployments.sort((one, other) => Date.parse(other.timestamp) - Date.parse(one.timestamp));
  const values = newestFirst.map(({ outputs }) => valuesOf(outputs)).find((values) => values.get(IDENTIFYING_OUTPUT));
  if (!values) throw new Error(errorMessage);
  return (name, defaultValue) => {
    const value = values.get(name) || defaultValue;
    if (value !== undefined) return value;
    if (name.startsWith("STANDBY_")) {
      throw new Error(`there is no second region in ${group}: set the parameter standbyLocation of infra/main.bicep to add one`);
    }
    throw new Error(
      `the deployment has no output ${name}: it was made by an older infra/main.bicep; run scripts/deploy-infra.sh`,
    );
  };
}

/** Returns the values of a deployment's outputs by upper-case name, because Resource Manager changes the case of names. */
function valuesOf(outputs) {
  return new Map(Object.entries(outputs ?? {}).map(([name, { value }]) => [name.toUpperCase(), value]));
}

module.exports = { az, deploymentOutputs };

if (require.main === module) {
  const [group, name, defaultValue] = process.argv.slice(2);
  try {
    console.log(deploymentOutputs(group)(name, defaultValue));
  } catch ({ message }) {
    console.error(`deployment.js: ${message}`);
    process.exitCode = 2;
  }
}
