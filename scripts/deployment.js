// What Azure's command line tells of a deployment. The smoke test uses it as a module, and the scripts in bash so:
//
//   node scripts/deployment.js GROUP OUTPUT [OTHERWISE]
//
// prints an output of the deployment in a resource group. Where it has none, it prints OTHERWISE, or says so and ends
// with 2.
"use strict";

const { spawnSync } = require("node:child_process");

// By this output a deployment of infra/main.bicep is known, whatever it is called: azd has names of its own.
const OF_OURS = "AZURE_FUNCTION_APP_NAME";

/** What `az` answers. When it fails: an error with this complaint, and with what `az` says itself. */
function az(complaint, ...words) {
  const { error, status, stdout, stderr } = spawnSync("az", words, { encoding: "utf8", maxBuffer: Infinity });
  if (error?.code === "ENOENT") throw new Error("the command az is needed and not installed");
  if (error || status !== 0) throw new Error(`${complaint}\n${error?.message ?? stderr}`.trim());
  return stdout.trim();
}

/** A function that gives an output of the deployment in a resource group by its name, or what it is given for none. */
function deploymentOutputs(group) {
  const complaint =
    `there is no deployment of infra/main.bicep in ${group}: is scripts/deploy-infra.sh or azd done, and the right ` +
    "subscription chosen (az account show)?";
  const words = ["--resource-group", group, "--query", "[].properties.{outputs: outputs, timestamp: timestamp}"];
  const deployments = JSON.parse(az(complaint, "deployment", "group", "list", ...words, "--output", "json"));
  const newestFirst = deployments.sort((one, other) => Date.parse(other.timestamp) - Date.parse(one.timestamp));
  const values = newestFirst.map(({ outputs }) => valuesOf(outputs)).find((values) => values.get(OF_OURS));
  if (!values) throw new Error(complaint);
  return (name, otherwise) => {
    const value = values.get(name) || otherwise;
    if (value !== undefined) return value;
    if (name.startsWith("STANDBY_")) {
      throw new Error(`there is no second region in ${group}: infra/main.bicep has the parameter standbyLocation for one`);
    }
    throw new Error(
      `the deployment has no output ${name}: it is of an older infra/main.bicep; run scripts/deploy-infra.sh`,
    );
  };
}

/** The values of a deployment's outputs, by names in upper case: Resource Manager gives them back in one of its own. */
function valuesOf(outputs) {
  return new Map(Object.entries(outputs ?? {}).map(([name, { value }]) => [name.toUpperCase(), value]));
}

module.exports = { az, deploymentOutputs };

if (require.main === module) {
  const [group, name, otherwise] = process.argv.slice(2);
  try {
    console.log(deploymentOutputs(group)(name, otherwise));
  } catch ({ message }) {
    console.error(`deployment.js: ${message}`);
    process.exitCode = 2;
  }
}
