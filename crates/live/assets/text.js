// Times, ages and values in words.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Values are cut at this length, in characters. */
const MAX_VALUE_LENGTH = 200;

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Returns a duration such as "12 s", "5 min" or "3 h". */
export function duration(ms) {
  if (ms < MINUTE) return `${Math.max(0, Math.floor(ms / SECOND))} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} days`;
}

/** Returns a duration that may be less than a second. */
export const lag = (ms) => (ms < SECOND ? `${Math.round(ms)} ms` : duration(ms));

/** Returns the age of a time. */
export function age(timeMs, nowMs) {
  if (timeMs === null || timeMs === undefined) return "time not known";
  return nowMs - timeMs < SECOND ? "just now" : `${duration(nowMs - timeMs)} ago`;
}

/** Returns a time in UTC, such as "2026-11-30 18:04:05 UTC". */
export function time(timeMs) {
  if (timeMs === null || timeMs === undefined || Number.isNaN(new Date(timeMs).getTime())) return "time not known";
  return `${new Date(timeMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Returns a count with separators. */
export const count = (number) => whole.format(number);

/** Returns a count in few characters, such as "12.5K". */
export function compact(number) {
  if (Math.abs(number) >= 10_000) return short.format(number);
  return Math.abs(number) < 100 ? oneDigit.format(number) : whole.format(number);
}

/** Returns a number with the digits that differ in a chart. */
export const precise = (number) => String(Number(number.toPrecision(6)));

/** Returns a count with its noun: "1 device", "2 devices". */
export const counted = (number, noun, plural = `${noun}s`) => `${count(number)} ${number === 1 ? noun : plural}`;

/** Returns a reading as text. */
export function value(reading) {
  if (reading === undefined) return "";
  if (reading === null) return "cleared";
  if (typeof reading === "number") {
    return Number.isInteger(reading) ? String(reading) : String(Number(reading.toPrecision(9)));
  }
  const text = typeof reading === "string" ? reading : JSON.stringify(reading);
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH)}…` : text;
}
