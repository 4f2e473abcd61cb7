// Rounds, of which one may fail without the others being lost.
"use strict";

/** What keeps a round from being a measurement; said to people in one line. */
class Failed extends Error {}

/** A round that failed, as it stands in the results. Every other error is one of these scripts, and ends them. */
function notRight(error) {
  if (!(error instanceof Failed)) throw error;
  return { isRight: false, complaint: error.message };
}

/** Those that measured something: the others are told, and count nowhere. */
const right = (rounds) => rounds.filter(({ isRight }) => isRight);

/** What is to be said of the others, each with what it was a round of. */
function wrong(rounds, of) {
  const told = rounds.filter(({ isRight }) => !isRight).map((round) => `${of(round)}: ${round.complaint}`);
  return told.length ? `Not right, and in no figure:\n${told.join("\n")}` : "All counts agree.";
}

module.exports = { Failed, notRight, right, wrong };
