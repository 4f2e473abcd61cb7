// The apps that the smoke test speaks to: where each is, who opens it, where its documents and its logs are.
"use strict";

const { spawnSync } = require("node:child_process");
const { existsSync } = require("node:fs");
const { dirname } = require("node:path");

const { az, deploymentOutputs } = require("../deployment.js");

const SEND_MS = 60_000;

/** The outputs of a deployment that tell where the app of a region is. */
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

/** The apps, the standby's first. An address that is given is that of one app. */
function appsOf({ group, url, isDrill, which, program }) {
  if (!existsSync(program)) {
    throw new Error(`there is no devicestate in ${dirname(program)}: scripts/package.sh makes one`);
  }
  if (!group) return [appOf(program, { url, settings: process.env })];
  const output = deploymentOutputs(group);
  const standby = which === "standby" || (which === "both" && output(STANDBY.name, "")) ? [STANDBY] : [];
  const first = which === "standby" ? [] : [FIRST];
  return [...standby, ...first].map((region) => appOf(program, deployed(group, output, region, url, isDrill)));
}

/**
 * An app, when all is there that the test needs, rights and tokens among it. Nothing is sent yet.
 *
 * `send` gives an event to it, `show` looks for the document of its device, and `logs`, with the drill only, asks what
 * was logged.
 */
function appOf(program, own) {
  const app = { device: "smoke-test", ...own };
  app.send = (event) => send(app.url, app.key, event);
  app.show = () => show(program, app.device, app.settings);
  const { document, complaint } = app.show();
  if (!document && !complaint.includes("there is no document")) {
    throw new Error(`the documents cannot be read: ${complaint}`);
  }
  return { ...app, before: document?.Altitude ?? "none" };
}

function deployed(group, output, region, url, isDrill) {
  const name = output(region.name);
  const ofApp = ["--name", name, "--resource-group", group, "--output", "tsv"];
  url ??= `https://${output(region.hostName)}`;
  const key = az(
    `the master key of ${name} is not given out: it takes a role such as Website Contributor`,
    ...["functionapp", "keys", "list", "--query", "masterKey", ...ofApp],
  );
  // Of this shell's settings these two would take precedence, or make another identity of it.
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
  if (!device) throw new Error(`${name} has no setting RetryDrillDevice: set it, or give --no-drill`);
  const logs = logsOf(name, output(region.workspace));
  // Now and not in the end: a missing role shows at once, and a pipeline's login gets its token while it may.
  logs("print ready = true");
  return { url, key, settings, device, logs };
}

function logsOf(name, workspace) {
  // The query is in an extension of az.
  process.env.AZURE_EXTENSION_USE_DYNAMIC_INSTALL = "yes_without_prompt";
  const complaint = `the logs of ${name} cannot be asked: it takes the role Log Analytics Reader`;
  return (query) => {
    const words = ["--workspace", workspace, "--analytics-query", query, "--output", "json"];
    return JSON.parse(az(complaint, "monitor", "log-analytics", "query", ...words));
  };
}

/** The document of a device, or why there is none to see. */
function show(program, device, settings) {
  const words = ["state", "show", device, "--format", "json"];
  const { error, status, stdout, stderr } = spawnSync(program, words, { encoding: "utf8", env: settings });
  return status === 0 ? { document: JSON.parse(stdout) } : { complaint: error?.message ?? stderr.trim() };
}

/** The status that the host's admin endpoint answers, or why there is no answer. */
async function send(url, key, event) {
  try {
    const response = await fetch(`${url}/admin/functions/RawTelemetryFunction`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(key && { "x-functions-key": key }) },
      body: JSON.stringify({ input: JSON.stringify(event) }),
      // The key is for this address alone.
      redirect: "manual",
      signal: AbortSignal.timeout(SEND_MS),
    });
    await response.body?.cancel();
    return response.status;
  } catch ({ name, cause }) {
    // Not the message: that of a header that cannot be sent shows its value.
    return `none (${cause?.code ?? name})`;
  }
}

module.exports = { appsOf };
