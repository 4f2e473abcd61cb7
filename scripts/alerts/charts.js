// Draws charts and tables as HTML, in the style of the report of devicestate local --html (crates/report-page).
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const STYLE = join(__dirname, "..", "..", "crates", "report-page", "src", "page.css");

// Pixels of the area with the values, above it and below it; the width of the coordinates, which are stretched.
const HEIGHT = 110;
const TOP = 16;
const BOTTOM = 20;
const WIDTH = 1000;

const TONES = ["main", "second", "good", "warning", "bad", "quiet"];

/** Makes a text harmless in HTML: escaped, and without characters that no page may have. */
const escape = (value) =>
  String(value)
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufffe\uffff]/g, "\ufffd")
    .replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** Formats a number for people. */
function number(value) {
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 1 ? 2 : 4;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** Returns the upper end of an axis. */
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((end) => end >= value * 0.999999);
}

/** The state of an alert, coloured if it fired. */
const badge = (state) => (!state ? "" : state === "quiet" ? "(quiet)" : `<span class="outcome bad">${escape(state)}</span>`);

const clock = (time) => new Date(time).toISOString().slice(11, 19);

/** Returns from when until when values are above a threshold. */
function above(points, threshold, to) {
  const ranges = [];
  points.forEach(([time, value], index) => {
    if (value === null || value <= threshold) return;
    const end = points[index + 1]?.[0] ?? to;
    if (ranges.at(-1)?.[1] === time) ranges.at(-1)[1] = end;
    else ranges.push([time, end]);
  });
  return ranges;
}

/**
 * Draws values over time, as steps. `series` has `name` and `points` [time, value]; from a value of null on nothing is drawn.
 * Values above `threshold` are marked.
 */
function chart({ id, title, state, note, from, to, series, threshold }) {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value ?? 0));
  const top = roundUp(Math.max(...values, threshold === undefined ? 0 : threshold * 1.25, 0));
  const share = (time) => Math.min(Math.max((time - from) / (to - from || 1), 0), 1);
  const height = (value) => HEIGHT * (1 - Math.min(Math.max(value / top, 0), 1));
  const path = (points) =>
    points.map(([time, value], index) => {
      if (value === null) return "";
      const [x, y] = [share(time) * WIDTH, height(value)].map((coordinate) => coordinate.toFixed(1));
      const end = (share(points[index + 1]?.[0] ?? to) * WIDTH).toFixed(1);
      return index === 0 || points[index - 1][1] === null ? `M${x} ${y}H${end}` : `V${y}H${end}`;
    }).join("");
  const lines = series.map(({ points }, index) => {
    const tone = TONES[index % TONES.length];
    const style = series.length > 1 && index > 0 ? ` stroke-dasharray="${index * 3} 2"` : "";
    return `<path class="line ${tone}"${style} d="${path(points)}"/>`;
  });
  const grid = [[0, ""], ...(top >= 2 ? [[0.5, number(top / 2)]] : []), [1, number(top)]].map(([part, label]) => {
    const y = TOP + HEIGHT * (1 - part);
    return `<line class="grid" x1="0" x2="100%" y1="${y}" y2="${y}"/><text x="0" y="${y - 4}">${label}</text>`;
  });
  const over = threshold === undefined ? [] : series.flatMap(({ points }) => above(points, threshold, to)).map(([start, end]) => {
    const [x, width] = [share(start) * 100, (share(end) - share(start)) * 100];
    return `<rect class="bad" opacity=".18" x="${x.toFixed(2)}%" width="${width.toFixed(2)}%" y="${TOP}" height="${HEIGHT}"/>`;
  });
  const limit = threshold === undefined ? "" :
    `<line class="threshold" x1="0" x2="100%" y1="${TOP + height(threshold)}" y2="${TOP + height(threshold)}"/>` +
    `<text class="threshold" x="100%" y="${TOP + height(threshold) - 4}" text-anchor="end">threshold ${number(threshold)}</text>`;
  const times = [[from, "start", "0"], [(from + to) / 2, "middle", "50%"], [to, "end", "100%"]].map(
    ([time, anchor, x]) => `<text x="${x}" y="${TOP + HEIGHT + 16}" text-anchor="${anchor}">${clock(time)}</text>`);
  const keys = series.length < 2 ? "" : series.map(({ name }, index) =>
    `<span class="key ${TONES[index % TONES.length]}">${escape(name)}</span>`).join("");
  const highest = series.map(({ name, points }) => {
    const known = points.map(([, value]) => value).filter((value) => value !== null);
    return `${name}: ${known.length ? `at most ${number(Math.max(...known))}` : "no value"}`;
  });
  return `<figure class="chart"><figcaption><strong>${escape(title)}</strong> ${badge(state)}${keys}</figcaption>
<svg width="100%" height="${TOP + HEIGHT + BOTTOM}" role="img" aria-labelledby="${id}-title ${id}-description">
<title id="${id}-title">${escape(title)}</title><desc id="${id}-description">${escape(highest.join("; "))}</desc>
${grid.join("")}${over.join("")}
<svg x="0" y="${TOP}" width="100%" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">${lines.join("")}</svg>
${limit}${times.join("")}</svg>${note ? `<p class="note">${escape(note)}</p>` : ""}</figure>`;
}

/** Draws a table with a caption. `isNumber` lists which columns are numbers. */
function table(caption, head, rows, isNumber = []) {
  const isLong = head.map((_, column) => rows.some((row) => row[column].length > 40));
  const of = (column) => (isNumber[column] ? ' class="number"' : isLong[column] ? ' class="long"' : "");
  const cells = (row) => row.map((cell, column) => `<td${of(column)}>${escape(cell)}</td>`).join("");
  const body = rows.map((row) => `<tr>${cells(row)}</tr>`).join("\n");
  return `<div class="scroll" tabindex="0" role="region" aria-label="${escape(caption)}"><table><caption>${escape(caption)}</caption>
<thead><tr>${head.map((name, column) => `<th scope="col"${of(column)}>${escape(name)}</th>`).join("")}</tr></thead>
<tbody>${body}</tbody></table></div>`;
}

/** Draws a page: a title, a line below it, and sections with a heading and its parts. */
function page(title, summary, sections) {
  const own = ".threshold { stroke: var(--bad); stroke-dasharray: 6 3; } text.threshold { stroke: none; fill: var(--bad); } .long { min-width: 28ch; } .chart .note { margin: 2px 0 0; font-size: 13px; } .chart .outcome { font-size: 12px; vertical-align: 0; }";
  const section = ({ heading, parts }) => `<section><h2>${escape(heading)}</h2>${parts.join("\n")}</section>`;
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${escape(title)}</title><style>${readFileSync(STYLE, "utf8")}${own}</style></head>
<body><header><h1>${escape(title)}</h1><p>${escape(summary)}</p></header><main>
${sections.map(section).join("\n")}
</main></body></html>
`;
}

const columns = (parts) => `<div class="grid-2">${parts.map((part) => `<div class="column">${part}</div>`).join("\n")}</div>`;

module.exports = { chart, columns, escape, number, page, table };
