// The forced 503 in the logs: the query for Log Analytics, and its result.
"use strict";

/**
 * Returns the query for the attempts since a time. Events from the admin endpoint have no partition, and each attempt is a
 * separate invocation (JobHost.CallAsync of the WebJobs SDK), so the two attempts of a run are identified by time and reason.
 */
function query(since) {
  return `AppTraces
| where TimeGenerated > datetime(${since.toISOString()})
| where Message contains '"record":"failedAttempt"' or Message contains '"record":"batch"'
| extend fields = parse_json(Message)
| where isempty(tostring(fields.partitionId))
| project Message, Invocation = tostring(Properties.InvocationId)`;
}

/**
 * Evaluates the rows: the number of attempts that failed on purpose and of batches applied in their first attempt, and the
 * invocations of the last failed attempt and of the last retry, if there are any.
 */
function drillResult(rows) {
  const lines = rows.map(({ Message, Invocation }) => ({ ...json(Message), Invocation }));
  const attempts = lines.filter(({ record, attempt }) => record === "failedAttempt" && attempt === 1);
  const failed = attempts.filter(({ reason }) => String(reason).includes("RetryDrillDevice"));
  const batches = lines.filter(({ record }) => record === "batch");
  const retried = batches.filter(({ attempt, events, applied }) => attempt === 2 && events === 1 && applied === 1);
  return {
    failed: failed.length,
    appliedFirst: batches.filter(({ attempt }) => attempt === 1).length,
    first: failed.at(-1)?.invocationId,
    second: retried.at(-1)?.Invocation,
  };
}

/** Parses JSON; null for anything else, because not every line is a record of the handler. */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

module.exports = { drillResult, query };
