// Figures as people read them, in columns that line up.
"use strict";

/** A number with its thousands apart; a dash for none. */
function number(value, digits = 0) {
  if (!Number.isFinite(value)) return "-";
  const [whole, part] = value.toFixed(digits).split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
}

/** Bytes in mebibytes. */
const mebibytes = (bytes) => (Number.isFinite(bytes) ? `${number(bytes / 2 ** 20, 1)} MiB` : "-");

/** Rows that line up: the first column to the left, as well as those of words; the others to the right. */
function table(head, rows) {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const isFigure = (text) => /^-$|^[0-9]/.test(text);
  const right = head.map((_, column) => column > 0 && rows.every((row) => isFigure(String(row[column]))));
  const cell = (text, column) => (right[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}

module.exports = { mebibytes, number, table };
