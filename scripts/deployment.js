// What Azure's command line tells of a deployment. The smoke test uses it as a module, and the scripts in bash so:
//
//   node scripts/deployment.js GROUP OUTPUT
//
// prints an output of the deployment in a resource group, or says why there is none and ends with 2.
"use strict";

const { spawnSync } = require("node:child_process");

// As scripts/common.sh names it.
const DEPLOYMENT = "devicestate";

/** What `az` answers. When it fails: an error with this complaint, and with what `az` says itself. */
function az(complaint, ...words) {
  const { error, status, stdout, stderr } = spawnSync("az", words, { encoding: "utf8", maxBuffer: Infinity });
  if (error?.code === "ENOENT") throw new Error("the command az is needed and not installed");
  if (error || status !== 0) throw new Error(`${complaint}\n${error?.message ?? stderr}`.trim());
  return stdout.trim();
}

/** A function that gives an output of the deployment in a resource group by its name. */
function deploymentOutputs(group) {
  const complaint =
    `there is no deployment ${DEPLOYMENT} in ${group}: is scripts/deploy-infra.sh done, and the right subscription ` +
    "chosen (az account show)?";
  const words = ["--resource-group", group, "--name", DEPLOYMENT, "--query", "properties.outputs", "--output", "json"];
  const outputs = JSON.parse(az(complaint, "deployment", "group", "show", ...words));
  // Resource Manager gives names back in upper and lower case of its own.
  const values = new Map(Object.entries(outputs ?? {}).map(([name, { value }]) => [name.toUpperCase(), value]));
  return (name) => {
    if (values.get(name)) return values.get(name);
    throw new Error(
      `the deployment has no output ${name}: it is of an older infra/main.bicep; run scripts/deploy-infra.sh`,
    );
  };
}

module.exports = { az, deploymentOutputs };

if (require.main === module) {
  const [group, name] = process.argv.slice(2);
  try {
    console.log(deploymentOutputs(group)(name));
  } catch ({ message }) {
    console.error(`deployment.js: ${message}`);
    process.exitCode = 2;
  }
}
