// Timespan literals of the query language.
"use strict";

const UNITS = {
  d: 86_400_000, day: 86_400_000, days: 86_400_000, h: 3_600_000, hour: 3_600_000, hours: 3_600_000, m: 60_000,
  minute: 60_000, minutes: 60_000, s: 1_000, sec: 1_000, second: 1_000, seconds: 1_000, ms: 1, millisecond: 1,
};

/** Returns a timespan such as 15m in milliseconds. */
function timespan(literal) {
  const [, number, unit] = /^([\d.]+)([a-z]+)$/.exec(literal) ?? [];
  if (!(unit in UNITS)) throw new Error(`${literal} is not a timespan such as 90s, 15m, 2h or 7d`);
  return Number(number) * UNITS[unit];
}

module.exports = { timespan };
