// Formats numbers and tables.
"use strict";

/** Formats a number with thousands separators; a dash if it is missing. */
function number(value, digits = 0) {
  if (!Number.isFinite(value)) return "-";
  const [integer, fraction] = value.toFixed(digits).split(".");
  return integer.replace(/\B(?=(\d{3})+$)/g, ",") + (fraction ? `.${fraction}` : "");
}

/** Formats bytes as mebibytes. */
const mebibytes = (bytes) => (Number.isFinite(bytes) ? `${number(bytes / 2 ** 20, 1)} MiB` : "-");

/** Formats a table. The first column and columns of words are left-aligned, the others right-aligned. */
function table(head, rows) {
  const lines = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const isFigure = (text) => /^-$|^[0-9]/.test(text);
  const validOnly = head.map((_, column) => column > 0 && rows.every((row) => isFigure(String(row[column]))));
  const cell = (text, column) => (validOnly[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}

module.exports = { mebibytes, number, table };
