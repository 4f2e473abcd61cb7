// The columns of the table of devices, and the choice of them.

import { element, keyed } from "./dom.js";
import { age, time, value } from "./text.js";

const CHOICE = "devicestate-columns";
/** The columns of readings, as long as none are chosen. */
const DEFAULT_READINGS = 8;

/** The width of ids is that of the longest among so many devices. */
const MEASURED_DEVICES = 100;

/** The column of ids. */
export function idColumn(fleet) {
  let longest = 0;
  let measured = 0;
  for (const id of fleet.devices.keys()) {
    longest = Math.max(longest, id.length);
    measured += 1;
    if (measured === MEASURED_DEVICES) break;
  }
  // In steps, so that the columns seldom move.
  const width = Math.max(100, Math.min(260, Math.ceil(longest / 4) * 32 + 24));
  return { key: "id", title: "Device", width, grow: 1.2, text: (device) => device.id, by: (device) => device.id };
}

/** The column of the age, which contains the word for silent devices. */
function heard(fleet) {
  return {
    key: "heard",
    title: "Last heard",
    width: 170,
    grow: 1,
    text: (device) =>
      fleet.isSilent(device) ? `silent, ${age(device.heardMs, fleet.now())}` : age(device.heardMs, fleet.now()),
    by: (device) => device.heardMs,
  };
}

function reading(fleet, name) {
  let example;
  for (const device of fleet.devices.values()) {
    example = device.readings[name];
    if (example !== undefined && example !== null) break;
  }
  return {
    key: `reading ${name}`,
    title: name,
    width: Math.max(90, Math.min(190, name.length * 8 + 36)),
    grow: 1,
    isNumber: typeof example === "number",
    text: (device) => (Object.hasOwn(device.readings, name) ? value(device.readings[name]) : ""),
    by: (device) => device.readings[name],
    changed: (device) => device.changed.get(name),
  };
}

const written = {
  key: "written",
  title: "Last written (UTC)",
  width: 190,
  grow: 1,
  text: (device) => time(device.writtenMs).replace(" UTC", ""),
  by: (device) => device.writtenMs,
};

/** The chosen columns, and the element to choose them with. */
export class Columns {
  #chosen = JSON.parse(sessionStorage.getItem(CHOICE) ?? "null");
  #isWritten = false;
  #kept = new Map();

  constructor(fleet, onChange) {
    this.fleet = fleet;
    this.onChange = onChange;
    this.list = element("ul");
    const box = element("input", {
      type: "checkbox",
      onchange: () => {
        this.#isWritten = box.checked;
        this.onChange();
      },
    });
    const fixed = element("label", {}, box, "Last written (UTC)");
    this.element = element(
      "details",
      { class: "columns" },
      element("summary", {}, "Columns"),
      element("div", { class: "choices" }, fixed, this.list),
    );
    this.element.addEventListener("toggle", () => this.update());
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.element.open) return;
      event.stopPropagation();
      this.element.open = false;
      this.element.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => {
      if (!this.element.contains(event.target)) this.element.open = false;
    });
  }

  /** Returns the names of the shown readings. */
  names() {
    const names = this.fleet.readingNames();
    return this.#chosen === null
      ? names.slice(0, DEFAULT_READINGS)
      : names.filter((name) => this.#chosen.includes(name));
  }

  columns() {
    const columns = [idColumn(this.fleet), heard(this.fleet)];
    if (this.#isWritten) columns.push(written);
    return columns.concat(this.names().map((name) => reading(this.fleet, name)));
  }

  /** Brings the list of choices up to date, if it is open. */
  update() {
    if (!this.element.open) return;
    const shown = new Set(this.names());
    const names = this.fleet.readingNames();
    keyed(
      this.list,
      this.#kept,
      names,
      (name) => name,
      (name) => this.#choice(name, () => shown.has(name)),
    );
    for (const [name, part] of this.#kept) part.box.checked = shown.has(name);
  }

  #choice(name, isShown) {
    const box = element("input", { type: "checkbox", onchange: () => this.#choose(name, box.checked) });
    box.checked = isShown();
    return { element: element("li", {}, element("label", {}, box, name)), box, update() {} };
  }

  #choose(name, isChosen) {
    const chosen = new Set(this.names());
    if (isChosen) chosen.add(name);
    else chosen.delete(name);
    this.#chosen = [...chosen];
    sessionStorage.setItem(CHOICE, JSON.stringify(this.#chosen));
    this.onChange();
  }
}
