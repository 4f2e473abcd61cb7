// The run: charts of what the system does, and its partitions.

import { Chart, Sparkline } from "./chart.js";
import { element, keyed, setText } from "./dom.js";
import { compact, count, lag } from "./text.js";

/** How many seconds the charts show. */
const MAX_SAMPLES = 300;

/** What the charts show: the figures whose change per second is drawn, or a function of them. */
const CHARTS = [
  { title: "Events per second", lines: { received: rate("received"), processed: rate("processed") } },
  { title: "Events waiting", lines: { "": (now) => now.partitions.reduce((sum, { waiting }) => sum + waiting, 0) } },
  {
    title: "Highest lag",
    format: lag,
    lines: { "": (now) => Math.max(0, ...now.partitions.map(({ lagMs }) => lagMs)) },
  },
  { title: "Batches per second", lines: { completed: rate("batches"), "failed attempts": rate("failedAttempts") } },
  {
    title: "Store operations per second",
    lines: { reads: rate("reads"), writes: rate("writes"), conflicts: rate("conflicts") },
  },
  { title: "Request units per second", lines: { "": rate("requestUnits") } },
];

const TOTALS = [
  ["Received", "received"],
  ["Processed", "processed"],
  ["Applied", "applied"],
  ["Superseded", "superseded"],
  ["Dead letters", "deadLettered"],
  ["Unrecognized", "unrecognized"],
  ["Ignored", "ignored"],
  ["Batches", "batches"],
  ["Failed attempts", "failedAttempts"],
  ["Restarts of handlers", "handlerRestarts"],
];

function rate(name) {
  return (now, before) => {
    const seconds = before === undefined ? 0 : (now.nowMs - before.nowMs) / 1000;
    return seconds > 0 ? Math.max(0, now[name] - before[name]) / seconds : null;
  };
}

/** The figures of the last minutes. */
export class Figures {
  samples = [];

  add(figures) {
    const last = this.samples.at(-1);
    // The program was started again.
    if (last !== undefined && (figures.received < last.received || figures.nowMs <= last.nowMs)) this.samples = [];
    this.samples.push(figures);
    if (this.samples.length > MAX_SAMPLES) this.samples.shift();
  }

  get last() {
    return this.samples.at(-1);
  }

  /** Returns the change per second of a figure, or null. */
  rate(name) {
    return this.samples.length < 2 ? null : rate(name)(this.samples.at(-1), this.samples.at(-2));
  }
}

/** The view of the run. */
export class RunView {
  #partitions = new Map();
  #shown;

  constructor(figures, info) {
    this.figures = figures;
    const message = info.run
      ? "The first figures arrive within a second."
      : "This page shows a store, not a run: devicestate local --ui shows both.";
    this.message = element("p", { class: "empty" }, message);
    this.totals = new Map(TOTALS.map(([title, name]) => [name, { title, value: element("dd", {}, "–") }]));
    const totals = [...this.totals.values()].map(({ title, value }) =>
      element("div", {}, element("dt", {}, title), value),
    );
    this.charts = CHARTS.map(({ title, lines, format = compact }) => new Chart(title, Object.keys(lines), format));
    this.rows = element("tbody");
    const head = ["Partition", "Events waiting", "Lag", "Lag over time"].map((title) =>
      element("th", { scope: "col" }, title),
    );
    this.partitions = element(
      "div",
      { class: "partitions" },
      element("h3", {}, "Partitions"),
      element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.rows),
    );
    this.content = element(
      "div",
      { hidden: true },
      element("dl", { class: "totals" }, ...totals),
      element("div", { class: "charts" }, ...this.charts.map((chart) => chart.element)),
      this.partitions,
    );
    this.element = element("section", { class: "run", "aria-label": "Run", tabindex: "0" }, this.message, this.content);
  }

  render() {
    const { last, samples } = this.figures;
    if (last === undefined || last === this.#shown) return;
    this.#shown = last;
    this.message.hidden = true;
    this.content.hidden = false;
    for (const [name, { value }] of this.totals) setText(value, count(last[name]));
    const times = samples.map(({ nowMs }) => nowMs / 1000);
    CHARTS.forEach(({ lines }, index) => {
      const values = Object.values(lines).map((line) => samples.map((sample, at) => line(sample, samples[at - 1])));
      this.charts[index].set(times, ...values);
    });
    this.partitions.hidden = last.partitions.length === 0;
    keyed(
      this.rows,
      this.#partitions,
      last.partitions,
      ({ partition }) => partition,
      ({ partition }) => {
        const [waiting, current] = [element("td", { class: "number" }), element("td", { class: "number" })];
        const line = new Sparkline();
        const row = element(
          "tr",
          {},
          element("th", { scope: "row" }, partition),
          waiting,
          current,
          element("td", { class: "history" }, line.element),
        );
        return {
          element: row,
          update: (now) => {
            setText(waiting, count(now.waiting));
            setText(current, now.waiting === 0 ? "none" : lag(now.lagMs));
            line.set(
              samples.map((sample) => [
                sample.nowMs,
                sample.partitions.find((one) => one.partition === partition)?.lagMs ?? 0,
              ]),
            );
          },
        };
      },
    );
  }
}
