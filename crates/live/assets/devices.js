// The table of devices with its filter, search and columns.

import { Columns } from "./columns.js";
import { element, setAttribute, setText } from "./dom.js";
import { emptyFleet } from "./empty.js";
import { View } from "./fleet.js";
import { DeviceTable } from "./table.js";
import { counted, count, duration } from "./text.js";

const MINUTE = 60_000;
const SILENT_CHOICES = [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE];

/** Shows a refused filter with the character that is wrong. */
function explanation(where, problem) {
  const parts = [
    element("span", {}, `The filter is not applied: ${problem.detail ?? problem.title ?? "the server refused it"}`),
  ];
  const position = Number(problem.position ?? /character (\d+)/.exec(problem.detail ?? "")?.[1]);
  if (position >= 1) {
    const characters = [...where];
    const [before, after] = [characters.slice(0, position - 1).join(""), characters.slice(position).join("")];
    const mark = element("mark", {}, characters[position - 1] ?? " ");
    parts.push(element("code", { class: "position" }, before, mark, after));
  }
  return parts;
}

/** The view of all devices. */
export class Devices {
  #sort = { key: "id", direction: 1 };
  #shown = "";

  /** `on` has `open(device)`, `filter(where)` and `silentAfter()`. */
  constructor(fleet, info, on) {
    this.fleet = fleet;
    this.info = info;
    this.view = new View(fleet);
    this.table = new DeviceTable("Devices", {
      open: on.open,
      isSilent: (device) => fleet.isSilent(device),
      sort: (column) => this.#sortBy(column),
    });
    this.columns = new Columns(fleet, () => this.render());
    this.#createFilter(on);
    this.summary = element("p", { class: "summary" });
    this.empty = element("div", { class: "empty", hidden: true });
    this.element = element(
      "section",
      { class: "devices", "aria-label": "Devices" },
      element("div", { class: "tools" }, this.form, this.search, this.silent, this.only, this.columns.element),
      this.error,
      this.summary,
      this.empty,
      this.table.element,
    );
  }

  #createFilter(on) {
    this.input = element("input", {
      type: "text",
      id: "filter",
      spellcheck: "false",
      autocomplete: "off",
      placeholder: "battery < 0.2 and exists(model)",
      "aria-describedby": "filter-error",
    });
    const apply = (event) => {
      event.preventDefault();
      on.filter(this.input.value.trim());
    };
    this.form = element(
      "form",
      { onsubmit: apply, class: "field wide" },
      element("label", { for: "filter" }, "Filter by readings"),
      element("span", { class: "joined" }, this.input, element("button", { type: "submit" }, "Apply")),
    );
    this.error = element("div", { id: "filter-error", class: "error", role: "alert" });
    const prefix = element("input", {
      type: "search",
      id: "prefix",
      spellcheck: "false",
      autocomplete: "off",
      oninput: () => {
        this.view.prefix = prefix.value;
        this.table.element.scrollTop = 0;
        this.render();
      },
    });
    this.search = element("div", { class: "field" }, element("label", { for: "prefix" }, "Id begins with"), prefix);
    const options = [...new Set([...SILENT_CHOICES, this.fleet.silentAfterMs])].sort((a, b) => a - b);
    const after = element(
      "select",
      {
        id: "silent-after",
        onchange: () => {
          this.fleet.silentAfterMs = Number(after.value);
          on.silentAfter();
        },
      },
      ...options.map((ms) => element("option", { value: ms, selected: ms === this.fleet.silentAfterMs }, duration(ms))),
    );
    this.silent = element("div", { class: "field" }, element("label", { for: "silent-after" }, "Silent after"), after);
    const box = element("input", {
      type: "checkbox",
      onchange: () => {
        this.view.isOnlySilent = box.checked;
        this.table.element.scrollTop = 0;
        this.render();
      },
    });
    this.only = element("label", { class: "check" }, box, "Only silent devices");
  }

  /** Shows whether the server accepted a filter. */
  filtered(where, problem) {
    setAttribute(this.input, "aria-invalid", problem ? "true" : undefined);
    this.error.replaceChildren(...(problem ? explanation(where, problem) : []));
    if (!problem) this.fleet.where = where;
  }

  #sortBy(column) {
    const isSame = this.#sort.key === column.key;
    this.#sort = { key: column.key, direction: isSame ? -this.#sort.direction : 1 };
    this.view.sort(column.by, this.#sort.direction);
    this.#shown = "";
    this.render();
    this.table.focusTitle(column.key);
  }

  #updateColumns() {
    const columns = this.columns.columns();
    const shown = columns.map(({ key, width, isNumber }) => `${key} ${width} ${isNumber}`).join("\n");
    if (shown === this.#shown) return;
    this.#shown = shown;
    const sorted = columns.find(({ key }) => key === this.#sort.key);
    if (sorted === undefined) {
      this.#sort = { key: "id", direction: 1 };
      this.view.sort(columns[0].by, 1);
    }
    this.table.setColumns(columns, this.#sort.key, this.#sort.direction);
  }

  render() {
    const { fleet, view } = this;
    this.#updateColumns();
    this.columns.update();
    const rows = view.update();
    const isEmpty = fleet.isComplete && fleet.devices.size === 0;
    this.empty.hidden = !isEmpty;
    this.summary.hidden = isEmpty;
    this.table.element.hidden = isEmpty;
    if (isEmpty && !this.empty.hasChildNodes()) this.empty.append(...emptyFleet(this.info));
    this.#summarize(rows, isEmpty);
    this.table.setRows(rows);
  }

  #summarize(rows, isEmpty) {
    const { fleet } = this;
    const { where, total } = fleet;
    const parts = [`${count(rows.length)} of ${counted(total, "device")}${where ? ` that match ${where}` : ""}`];
    if (total > fleet.devices.size)
      parts.push(`only the ${count(this.info.maxDevices)} devices that were written last`);
    setText(this.summary, !fleet.isComplete ? "Loading the devices…" : parts.join(" · "));
    if (isEmpty && where) this.empty.replaceChildren(element("p", {}, "No device matches the filter."));
    else if (isEmpty && this.empty.childElementCount === 1) this.empty.replaceChildren(...emptyFleet(this.info));
  }
}
