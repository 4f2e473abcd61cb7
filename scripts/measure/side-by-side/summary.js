// Figures and ratios of the rounds.
"use strict";

const { ratio, spread } = require("../figures.js");
const { validOnly } = require("../rounds.js");

/** The handlers that the product is compared with. */
const PEERS = ["node", "go", "python"];

/** Returns the rounds in groups, in the order of the first of each. */
function groups(rounds, keyOf) {
  const byKey = new Map();
  for (const round of rounds) {
    const key = keyOf(round);
    byKey.set(key, [...(byKey.get(key) ?? []), round]);
  }
  return [...byKey.values()];
}

/** Returns median, minimum and maximum of all valid rounds, for each handler, size and form. */
function summary(rounds) {
  return groups(rounds, ({ name, events, form }) => `${name} ${events} ${form}`).map((group) => {
    const [{ name, events, form }] = group;
    const of = (figure) => spread(validOnly(group).map(figure));
    return {
      name,
      events,
      form,
      validRounds: validOnly(group).length,
      eventsPerSecond: of((round) => round.eventsPerSecond),
      recordsPerSecond: of((round) => round.recordsPerSecond),
      nsPerEvent: of((round) => round.handler?.nsPerEvent),
      p50Ms: of((round) => round.latencyMs?.p50),
      p99Ms: of((round) => round.latencyMs?.p99),
      peakBytes: of((round) => round.handler?.peakBytes),
      driverCpuPercent: of((round) => round.driverCpuPercent),
    };
  });
}

/**
 * Returns the ratios of events per second of two handlers in the same round, for each size and form: of the product to its
 * fastest peer, if both keep documents in memory, and of the program to the one before it.
 */
function ratios(rounds) {
  return groups(validOnly(rounds), ({ events, form }) => `${events} ${form}`).flatMap((group) => {
    const [{ events, form }] = group;
    const perRound = groups(group, ({ round }) => round);
    const against = (name, to, others) => {
      const speed = (inRound, names) =>
        Math.max(...inRound.filter((round) => names.includes(round.name)).map((round) => round.eventsPerSecond));
      const value = spread(perRound.map((inRound) => ratio(speed(inRound, others), speed(inRound, [name]))));
      return value ? [{ name, to, events, form, ratio: value }] : [];
    };
    return [
      ...against("devicestate", "best peer", PEERS),
      ...against("before", "best peer", PEERS),
      ...against("devicestate", "before", ["before"]),
      ...against("devicestate-sqlite", "before-sqlite", ["before-sqlite"]),
    ];
  });
}

module.exports = { PEERS, ratios, summary };
