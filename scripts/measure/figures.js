// Statistics of measured values.
"use strict";

const sorted = (values) => [...values].sort((a, b) => a - b);

/** Returns the value at a quantile from 0 to 1; null if there are no values. */
function quantile(values, fraction) {
  const all = sorted(values);
  return all.length ? all[Math.max(0, Math.ceil(all.length * fraction) - 1)] : null;
}

/** Returns the median; null if there are no values. */
function median(values) {
  const all = sorted(values);
  if (!all.length) return null;
  const half = all.length / 2;
  return Number.isInteger(half) ? (all[half - 1] + all[half]) / 2 : all[Math.floor(half)];
}

/** Returns median, minimum and maximum of the defined values; null if there are none. */
function spread(values) {
  const defined = values.filter((value) => Number.isFinite(value));
  return defined.length ? { median: median(defined), min: Math.min(...defined), max: Math.max(...defined) } : null;
}

/** Returns the second value divided by the first; null if one is missing or the first is 0. */
function ratio(first, second) {
  return Number.isFinite(first) && Number.isFinite(second) && first !== 0 ? second / first : null;
}

module.exports = { median, quantile, ratio, spread };
