// One device: its readings with their origin and history, and its dead letters.

import { ReadingChart, Sparkline } from "./chart.js";
import { Refused, json } from "./connection.js";
import { copyButton, element, keyed, setAttribute, setText } from "./dom.js";
import { age, counted, precise, time, value } from "./text.js";

/** The device is read again after this time, and when it has changed. */
const READ_EVERY_MS = 2000;
const READ_AT_MOST_EVERY_MS = 500;

/** Returns the range of a history in words, for those who do not see the line. */
function historyInWords(history) {
  const values = history.map(([, number]) => number);
  return `${counted(values.length, "value")}, from ${value(Math.min(...values))} to ${value(Math.max(...values))}`;
}

/** The panel of one device. */
export class DevicePanel {
  #id;
  #read = { at: -Infinity, writtenMs: undefined, isRunning: false };
  #readings = new Map();
  #letters = new Map();
  #chosen;
  #data;

  constructor(fleet, onClose) {
    this.fleet = fleet;
    this.title = element("h2", { tabindex: "-1" });
    this.state = element("p", { class: "state" });
    this.message = element("p", { class: "message", role: "status" });
    this.rows = element("tbody");
    const titles = ["Reading", "Value", "Time", "Sequence number", "Partition", "History"];
    const head = element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)));
    this.chart = new ReadingChart("", [""], precise, 150);
    this.chart.element.hidden = true;
    this.table = element(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Readings" },
      element("table", {}, element("thead", {}, head), this.rows),
    );
    this.letterTitle = element("h3", {}, "Dead letters");
    this.letterList = element("ul", { class: "letters" });
    this.element = element(
      "section",
      { class: "panel", "aria-label": "Device", hidden: true },
      element(
        "header",
        {},
        this.title,
        element(
          "button",
          { type: "button", class: "close", onclick: onClose, "aria-label": "Close the device" },
          "Close",
        ),
      ),
      this.state,
      this.message,
      this.chart.element,
      this.table,
      this.letterTitle,
      this.letterList,
    );
  }

  /** Opens the device with this id, or closes the panel. */
  open(id) {
    this.element.hidden = id === undefined;
    if (id === this.#id) return;
    this.#id = id;
    this.#data = undefined;
    this.#chosen = undefined;
    this.#read = { at: -Infinity, writtenMs: undefined, isRunning: false };
    for (const part of [...this.#readings.values(), ...this.#letters.values()]) part.element.remove();
    this.#readings.clear();
    this.#letters.clear();
    this.chart.element.hidden = true;
    this.table.hidden = true;
    setText(this.title, id ?? "");
    setText(this.message, id === undefined ? "" : "Loading…");
    setText(this.state, "");
    this.letterTitle.hidden = true;
    if (id !== undefined) this.title.focus({ preventScroll: true });
  }

  render() {
    if (this.#id === undefined) return;
    const device = this.fleet.devices.get(this.#id);
    const { at, writtenMs, isRunning } = this.#read;
    const passed = performance.now() - at;
    const isChanged = device !== undefined && device.writtenMs !== writtenMs;
    if (!isRunning && passed > (isChanged ? READ_AT_MOST_EVERY_MS : READ_EVERY_MS)) this.#load(device?.writtenMs);
    const current = device ?? this.#data;
    if (current === undefined) return;
    const isSilent = this.fleet.isSilent(current);
    const heard =
      current.heardMs === null
        ? "never heard"
        : `last heard ${age(current.heardMs, this.fleet.now())}, at ${time(current.heardMs)}`;
    setText(this.state, isSilent ? `Silent: ${heard}` : `${heard[0].toUpperCase()}${heard.slice(1)}`);
    this.element.classList.toggle("silent", isSilent);
    for (const part of this.#readings.values()) part.tick();
  }

  async #load(writtenMs) {
    const id = this.#id;
    this.#read = { at: performance.now(), writtenMs, isRunning: true };
    try {
      const data = await json(`live/device?${new URLSearchParams({ id })}`);
      if (id !== this.#id) return;
      this.#show(data);
      const hasDocument = data.heardMs !== null || data.readings.length > 0;
      setText(this.message, hasDocument ? "" : "None of its events could be stored: see its dead letters.");
    } catch (error) {
      if (id !== this.#id) return;
      const isMissing = error instanceof Refused && error.status === 404;
      setText(
        this.message,
        isMissing ? "There is not a device with this id." : `The device cannot be read: ${error.message}`,
      );
    } finally {
      if (id === this.#id) this.#read.isRunning = false;
    }
  }

  #show(data) {
    this.#data = data;
    keyed(
      this.rows,
      this.#readings,
      data.readings,
      ({ name }) => name,
      ({ name }) => this.#createReading(name),
    );
    this.table.hidden = data.readings.length === 0;
    this.#showChart();
    this.letterTitle.hidden = data.deadLetters.length === 0;
    const count = counted(data.deadLetterCount, "dead letter");
    const isComplete = data.deadLetters.length === data.deadLetterCount;
    setText(this.letterTitle, isComplete ? count : `${count}, of which the first ${data.deadLetters.length}`);
    keyed(
      this.letterList,
      this.#letters,
      data.deadLetters,
      ({ id }) => id,
      (letter) => this.#createLetter(letter),
    );
    this.render();
  }

  #createReading(name) {
    const cells = {};
    for (const key of ["value", "time", "sequence", "partition", "history"]) cells[key] = element("td", { class: key });
    const line = new Sparkline();
    const words = element("span", { class: "hidden" });
    const button = element(
      "button",
      { type: "button", class: "plain", title: `Chart of ${name}`, onclick: () => this.#choose(name) },
      line.element,
      words,
    );
    const row = element("tr", {}, element("th", { scope: "row" }, name), ...Object.values(cells));
    let timeMs;
    return {
      element: row,
      update: (reading) => {
        ({ timeMs } = reading);
        setText(cells.value, value(reading.value));
        setText(
          cells.sequence,
          reading.sequenceNumber === undefined || reading.sequenceNumber === null ? "" : String(reading.sequenceNumber),
        );
        setText(cells.partition, reading.partition ?? "not known");
        setAttribute(cells.time, "title", time(timeMs));
        const history = reading.history ?? [];
        if (history.length < 2) return button.remove();
        line.set(history);
        setText(words, `Chart of ${name}: ${historyInWords(history)}`);
        if (!button.isConnected) cells.history.append(button);
      },
      tick: () => setText(cells.time, age(timeMs, this.fleet.now())),
      mark: (isChosen) => setAttribute(button, "aria-pressed", String(isChosen)),
    };
  }

  #choose(name) {
    this.#chosen = name;
    this.#showChart();
  }

  #showChart() {
    const withHistory = this.#data.readings.filter(({ history }) => history?.length >= 2);
    const chosen = withHistory.find(({ name }) => name === this.#chosen) ?? withHistory[0];
    this.chart.element.hidden = chosen === undefined;
    for (const [name, part] of this.#readings) part.mark(name === chosen?.name);
    if (chosen === undefined) return;
    setText(this.chart.title, `${chosen.name}, as the page has seen it (UTC)`);
    this.chart.set(
      chosen.history.map(([ms]) => ms / 1000),
      chosen.history.map(([, number]) => number),
    );
  }

  #createLetter({ id, insertedMs, issue, errorClass, stage, sequenceNumber, partition, command }) {
    const origin = [
      stage,
      errorClass,
      partition && `partition ${partition}`,
      sequenceNumber !== null && sequenceNumber !== undefined && `sequence number ${sequenceNumber}`,
    ];
    const details = [...origin, time(insertedMs)].filter(Boolean).join(" · ");
    const parts = [element("p", { class: "issue" }, issue), element("p", { class: "details" }, details)];
    if (command)
      parts.push(
        element(
          "div",
          { class: "command" },
          element("code", {}, command),
          copyButton(() => command, `Copy the command for dead letter ${id}`),
        ),
      );
    return { element: element("li", {}, ...parts), update() {} };
  }
}
