// Rounds: a failed one does not end the measurement.
"use strict";

/** A round failed. */
class RoundError extends Error {}

/** Returns the result of a failed round. Any other error is a defect of these scripts and ends them. */
function failedRound(error) {
  if (!(error instanceof RoundError)) throw error;
  return { isValid: false, error: error.message };
}

/** Returns the rounds that measured something. The others are reported, but are in no figure. */
const validOnly = (rounds) => rounds.filter(({ isValid }) => isValid);

/** Describes the failed rounds; `title` returns the title of a round. */
function describeFailures(rounds, title) {
  const lines = rounds.filter(({ isValid }) => !isValid).map((round) => `${title(round)}: ${round.error}`);
  return lines.length ? `Failed, and in no figure:\n${lines.join("\n")}` : "All counts agree.";
}

module.exports = { RoundError, describeFailures, failedRound, validOnly };
