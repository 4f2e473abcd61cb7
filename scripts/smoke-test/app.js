// The apps of the smoke test: address, key, documents and logs of each.
"use strict";

const { spawnSync } = require("node:child_process");
const { existsSync } = require("node:fs");
const { dirname } = require("node:path");

const { az, deploymentOutputs } = require("../deployment.js");

const SEND_MS = 60_000;

/** The outputs of a deployment with the app of each region. */
const FIRST = {
  name: "AZURE_FUNCTION_APP_NAME",
  hostName: "AZURE_FUNCTION_APP_HOST_NAME",
  workspace: "LOG_ANALYTICS_WORKSPACE_ID",
};
const STANDBY = {
  name: "STANDBY_FUNCTION_APP_NAME",
  hostName: "STANDBY_FUNCTION_APP_HOST_NAME",
  workspace: "STANDBY_LOG_ANALYTICS_WORKSPACE_ID",
};

/** Returns the apps, the standby's first. If an address is given, it is that of the only app. */
function appsOf({ group, url, isDrill, which, program }) {
  if (!existsSync(program)) {
    throw new Error(`the program devicestate is missing in ${dirname(program)}: run scripts/package.sh`);
  }
  if (!group) return [appOf(program, { url, settings: process.env })];
  const output = deploymentOutputs(group);
  const standby = which === "standby" || (which === "both" && output(STANDBY.name, "")) ? [STANDBY] : [];
  const first = which === "standby" ? [] : [FIRST];
  return [...standby, ...first].map((region) => appOf(program, deployed(group, output, region, url, isDrill)));
}

/**
 * Returns an app after checking everything that the test needs, including permissions and tokens. Nothing is sent yet.
 *
 * `send` sends an event to it, `show` reads the document of its device (`before` is the earlier one), and `logs`, only with the
 * drill, queries its logs.
 */
function appOf(program, own) {
  const app = { device: "smoke-test", ...own };
  app.send = (event) => send(app.url, app.key, event);
  app.show = () => show(program, app.device, app.settings);
  const { document, error } = app.show();
  if (!document && !error.includes("there is no document")) {
    throw new Error(`the documents cannot be read: ${error}`);
  }
  return { ...app, before: document };
}

function deployed(group, output, region, url, isDrill) {
  const name = output(region.name);
  const ofApp = ["--name", name, "--resource-group", group, "--output", "tsv"];
  url ??= `https://${output(region.hostName)}`;
  const key = az(
    `the master key of ${name} cannot be read: a role such as Website Contributor is required`,
    ...["functionapp", "keys", "list", "--query", "masterKey", ...ofApp],
  );
  // These two settings of the shell would take precedence or select another identity.
  const { CosmosConnection, CosmosConnection__clientId, ...others } = process.env;
  const settings = {
    ...others,
    StateStore: "cosmos",
    CosmosConnection__accountEndpoint: output("COSMOS_ENDPOINT"),
    CosmosConnection__credential: "developer",
    CosmosDatabase: output("COSMOS_DATABASE"),
    CosmosContainer: output("COSMOS_CONTAINER"),
  };
  if (!isDrill) return { url, key, settings };

  const device = az(
    `the settings of ${name} cannot be read`,
    ...["functionapp", "config", "appsettings", "list", "--query", "[?name=='RetryDrillDevice'].value", ...ofApp],
  );
  if (!device) throw new Error(`${name} has no setting RetryDrillDevice: set it, or use --no-drill`);
  const logs = logsOf(name, output(region.workspace));
  // Checks the role before the test, and fetches the token while the pipeline's login is valid.
  logs("print ready = true");
  return { url, key, settings, device, logs };
}

function logsOf(name, workspace) {
  // The query command is in an extension of az.
  process.env.AZURE_EXTENSION_USE_DYNAMIC_INSTALL = "yes_without_prompt";
  const errorMessage = `the logs of ${name} cannot be queried: the role Log Analytics Reader is required`;
  return (query) => {
    const words = ["--workspace", workspace, "--analytics-query", query, "--output", "json"];
    return JSON.parse(az(errorMessage, "monitor", "log-analytics", "query", ...words));
  };
}

/** Returns the document of a device, or the error of reading it. */
function show(program, device, settings) {
  const words = ["devices", "show", device, "--output", "jsonl"];
  const { error, status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8", env: settings });
  return status === 0 ? { document: JSON.parse(stdout) } : { error: error?.message ?? stderr.trim() };
}

/** Returns the status of the host's admin endpoint, or the reason why there is no response. */
async function send(url, key, event) {
  try {
    const response = await fetch(`${url}/admin/functions/RawTelemetryFunction`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key && { "x-functions-key": key }) },
      body: JSON.stringify({ input: event }),
      // The key must not be sent to another address.
      redirect: "manual",
      signal: AbortSignal.timeout(SEND_MS),
    });
    await response.body?.cancel();
    return response.status;
  } catch ({ name, cause }) {
    // Without the message: that of an invalid header contains its value.
    return `none (${cause?.code ?? name})`;
  }
}

module.exports = { appsOf };
