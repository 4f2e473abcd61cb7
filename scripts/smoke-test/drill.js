// The forced 503 in the logs: what to ask Log Analytics for, and what its answer proves.
"use strict";

/**
 * The query for the attempts since a time. What came through the admin endpoint has no partition, and each attempt
 * there is an invocation of its own (JobHost.CallAsync of the WebJobs SDK): so the two attempts of one run are known by
 * time and reason.
 */
function query(since) {
  return `AppTraces
| where TimeGenerated > datetime(${since.toISOString()})
| where Message contains '"record":"failedAttempt"' or Message contains '"record":"batch"'
| extend said = parse_json(Message)
| where isempty(tostring(said.partitionId))
| project Message, Invocation = tostring(Properties.InvocationId)`;
}

/**
 * What these rows tell of: how many attempts were failed on purpose, how many batches were applied at once, and of the
 * last failed attempt and the last one that repeated it the invocations, if there are any.
 */
function verdict(rows) {
  const lines = rows.map(({ Message, Invocation }) => ({ ...json(Message), Invocation }));
  const attempts = lines.filter(({ record, attempt }) => record === "failedAttempt" && attempt === 1);
  const failed = attempts.filter(({ reason }) => String(reason).includes("RetryDrillDevice"));
  const batches = lines.filter(({ record }) => record === "batch");
  const repeated = batches.filter(({ attempt, events, applied }) => attempt === 2 && events === 1 && applied === 1);
  return {
    failed: failed.length,
    atOnce: batches.filter(({ attempt }) => attempt === 1).length,
    first: failed.at(-1)?.invocationId,
    second: repeated.at(-1)?.Invocation,
  };
}

/** A text as JSON; null when it is none, since not every line is one of the handler. */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

module.exports = { query, verdict };
