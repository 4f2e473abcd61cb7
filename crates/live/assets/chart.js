// Charts of a value over time, drawn by uPlot.

import { element, setText } from "./dom.js";
import { time } from "./text.js";

const HEIGHT = 110;
/** A chart shows at least so many seconds, and a sparkline shorter times as steps of the same width. */
const MIN_SECONDS = 10;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colors of the lines of one chart, in their order. */
export const LINES = ["--line-1", "--line-2", "--line-3"];

/** A chart with a title and, as text, the latest value of each line. */
export class Chart {
  #plot;
  #data = [[], []];
  #width = 0;

  /** `lines` are the names of the lines; `format` makes text of a value. */
  constructor(title, lines, format, height = HEIGHT) {
    this.lines = lines;
    this.format = format;
    this.height = height;
    this.values = lines.map(() => element("span", { class: "value" }, "–"));
    const legend = lines.map((line, index) => {
      const name =
        line === "" ? [] : [element("span", { class: `key line-${index + 1}`, "aria-hidden": "true" }), `${line} `];
      return element("li", {}, ...name, this.values[index]);
    });
    this.canvas = element("div", { class: "plot", "aria-hidden": "true" });
    this.title = element("h3", {}, title);
    this.element = element(
      "figure",
      { class: "chart" },
      element("figcaption", {}, this.title, element("ul", {}, ...legend)),
      this.canvas,
    );
    new ResizeObserver(([entry]) => {
      this.#width = Math.floor(entry.contentRect.width);
      if (this.#width > 0 && this.#plot) this.#plot.setSize({ width: this.#width, height: this.height });
      else this.#draw();
    }).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#plot?.destroy();
      this.#plot = undefined;
      this.#draw();
    });
  }

  /** Shows these times, in seconds, and the values of each line. */
  set(times, ...values) {
    this.#data = [times, ...values];
    values.forEach((line, index) => {
      const last = line.at(-1);
      setText(this.values[index], last === undefined || last === null ? "–" : this.format(last));
    });
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#draw();
  }

  #draw() {
    if (this.#plot || this.#width <= 0 || this.#data[0].length === 0 || !globalThis.uPlot) return;
    const axis = {
      stroke: color("--muted"),
      grid: { stroke: color("--border"), width: 1 },
      ticks: { show: false },
      font: "11px system-ui, sans-serif",
    };
    const options = {
      width: this.#width,
      height: this.height,
      padding: [8, 26, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { range: (_plot, first, last) => [Math.min(first, last - MIN_SECONDS), last] },
        y: { range: (_plot, low, high) => this.range(low, high) },
      },
      axes: [
        {
          ...axis,
          size: 24,
          space: 90,
          values: (_plot, splits) => splits.map((seconds) => time(seconds * 1000).slice(11, 19)),
        },
        { ...axis, size: 52, space: 28, values: (_plot, splits) => splits.map((split) => this.format(split)) },
      ],
      series: [
        {},
        ...this.lines.map((_, index) => ({
          stroke: color(LINES[index]),
          width: 1.5,
          points: { show: false },
          spanGaps: true,
        })),
      ],
    };
    this.#plot = new globalThis.uPlot(options, this.#data, this.canvas);
  }

  /** Returns the range of the values: from 0, so that heights can be compared. */
  range(_low, high) {
    return [0, Math.max((high ?? 0) * 1.1, 1)];
  }
}

/** A chart of a reading: its range is that of the values. */
export class ReadingChart extends Chart {
  range(low, high) {
    const space = (high - low) * 0.1 || Math.abs(high) * 0.05 || 1;
    return [low - space, high + space];
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** A line without axes that fits into a row of a table. */
export class Sparkline {
  constructor(width = 120, height = 22) {
    this.width = width;
    this.height = height;
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.element.setAttribute("class", "sparkline");
    this.element.setAttribute("aria-hidden", "true");
    this.path = this.element.appendChild(document.createElementNS(SVG, "path"));
  }

  /** Shows pairs of a time and a number. */
  set(history) {
    const values = history.map(([, number]) => number);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const [first, last] = [history[0]?.[0], history.at(-1)?.[0]];
    const isShort = last - first < MIN_SECONDS * 1000;
    const part = (time, index) => (isShort ? index / Math.max(1, history.length - 1) : (time - first) / (last - first));
    const x = (time, index) => part(time, index) * (this.width - 2) + 1;
    const y = (number) =>
      high === low ? this.height / 2 : this.height - 2 - ((number - low) / (high - low)) * (this.height - 4);
    const path = history
      .map(([time, number], index) => `${index === 0 ? "M" : "L"}${x(time, index).toFixed(1)} ${y(number).toFixed(1)}`)
      .join("");
    if (this.path.getAttribute("d") !== path) this.path.setAttribute("d", path);
  }
}
