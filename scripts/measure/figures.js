// Arithmetic over what was measured.
"use strict";

const sorted = (values) => [...values].sort((a, b) => a - b);

/** The value at a quantile: the smallest one that so large a part of all does not exceed; null of none. */
function quantile(values, part) {
  const all = sorted(values);
  return all.length ? all[Math.max(0, Math.ceil(all.length * part) - 1)] : null;
}

/** The middle one, or what lies between the two in the middle. */
function median(values) {
  const all = sorted(values);
  if (!all.length) return null;
  const half = all.length / 2;
  return Number.isInteger(half) ? (all[half - 1] + all[half]) / 2 : all[Math.floor(half)];
}

/** Median, least and most of the rounds, without those that have no figure. */
function spread(values) {
  const known = values.filter((value) => Number.isFinite(value));
  return known.length ? { median: median(known), min: Math.min(...known), max: Math.max(...known) } : null;
}

/** How many times the first the second is; null where one of the two is not known, or the first is nothing. */
function ratio(first, second) {
  return Number.isFinite(first) && Number.isFinite(second) && first !== 0 ? second / first : null;
}

module.exports = { median, quantile, ratio, spread };
