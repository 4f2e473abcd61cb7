// A table of devices that has elements only for the visible rows, and is moved through by keys.

import { element, setAttribute, setText } from "./dom.js";

const ROW_HEIGHT = 30;
/** Rows outside the visible part, so that scrolling shows no gap. */
const MARGIN_ROWS = 6;
/** How long a changed value is marked. */
const MARKED_MS = 2000;

let tables = 0;

/**
 * A column has `key`, `title`, `width` (a minimum in pixels), `grow`, `isNumber`, `text(device)`, optionally `by(device)` for the
 * order, `changed(device)` for the time of the last change and `hint(device)`.
 */
export class DeviceTable {
  #columns = [];
  #rows = [];
  #slots = [];
  #active;
  #height = 0;
  #prefix = `table-${(tables += 1)}`;

  /** `on` has `open(device)`, `sort(column)`, `active(device)` and `isSilent(device)`. */
  constructor(label, on) {
    this.on = on;
    this.head = element("div", { role: "row", class: "head", "aria-rowindex": "1" });
    this.body = element("div", { role: "rowgroup", class: "body" });
    this.element = element(
      "div",
      { role: "grid", class: "grid", tabindex: "0", "aria-label": label },
      element("div", { role: "rowgroup", class: "top" }, this.head),
      this.body,
    );
    this.element.addEventListener("scroll", () => this.render(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focus", () => this.render());
    this.body.addEventListener("click", (event) => this.#click(event));
    new ResizeObserver(() => {
      this.#height = this.element.clientHeight;
      this.render();
    }).observe(this.element);
  }

  /** Sets the columns, and by which of them the rows are sorted. */
  setColumns(columns, sortedBy, direction) {
    this.#columns = columns;
    this.head.replaceChildren(
      ...columns.map((column) => {
        const isSorted = column.key === sortedBy;
        const sort = isSorted ? (direction > 0 ? "ascending" : "descending") : undefined;
        const mark = element(
          "span",
          { class: "order", "aria-hidden": "true" },
          isSorted ? (direction > 0 ? "▲" : "▼") : "",
        );
        const title = element("span", { class: "title", title: column.title }, column.title);
        const button = element(
          "button",
          { type: "button", "data-key": column.key, onclick: () => this.on.sort(column) },
          title,
          mark,
        );
        const kind = `cell${column.isNumber ? " number" : ""}`;
        return element("div", { role: "columnheader", class: kind, "aria-sort": sort }, button);
      }),
    );
    this.element.setAttribute("aria-colcount", columns.length);
    const tracks = columns.map(({ width, grow }) => `minmax(${width}px, ${grow}fr)`).join(" ");
    this.element.style.setProperty("--tracks", tracks);
    this.element.style.setProperty("--width", `${columns.reduce((sum, { width }) => sum + width, 0)}px`);
    this.#slots = [];
    this.body.replaceChildren();
    this.render();
  }

  /** Shows these devices. */
  setRows(rows) {
    this.#rows = rows;
    this.render();
  }

  /** Marks a device as the active one. */
  setActive(device) {
    this.#active = device;
    this.render();
  }

  get active() {
    return this.#active;
  }

  focus() {
    this.element.focus({ preventScroll: true });
  }

  /** Focuses the title of a column, whose element is replaced when the order changes. */
  focusTitle(key) {
    [...this.head.querySelectorAll("button")].find((button) => button.dataset.key === key)?.focus();
  }

  render() {
    if (this.#height === 0) return;
    const rows = this.#rows;
    this.body.style.height = `${rows.length * ROW_HEIGHT}px`;
    setAttribute(this.element, "aria-rowcount", rows.length + 1);
    const visible = Math.ceil(this.#height / ROW_HEIGHT) + 2 * MARGIN_ROWS;
    while (this.#slots.length < visible) this.#slots.push(this.#createSlot(this.#slots.length));
    const slots = this.#slots.length;
    const last = Math.max(0, rows.length - slots);
    const first = Math.min(last, Math.max(0, Math.floor(this.element.scrollTop / ROW_HEIGHT) - MARGIN_ROWS));
    let activeRow;
    for (let index = first; index < first + slots; index += 1) {
      // A row stays in its element while the table scrolls.
      const slot = this.#slots[index % slots];
      this.#fill(slot, index, rows[index]);
      if (rows[index] !== undefined && rows[index] === this.#active) activeRow = slot.row.id;
    }
    setAttribute(this.element, "aria-activedescendant", activeRow);
  }

  #createSlot(number) {
    const cells = this.#columns.map((column) => {
      const text = element("span", { class: "text" });
      const cell = element("div", { role: "gridcell", class: `cell${column.isNumber ? " number" : ""}` }, text);
      return { cell, text, shown: "", at: undefined };
    });
    const row = element(
      "div",
      { role: "row", class: "row", id: `${this.#prefix}-${number}`, hidden: true },
      ...cells.map(({ cell }) => cell),
    );
    this.body.append(row);
    return { row, cells, index: -1, device: undefined, isSilent: false };
  }

  #fill(slot, index, device) {
    const { row } = slot;
    row.hidden = device === undefined;
    if (device === undefined) {
      slot.device = undefined;
      return;
    }
    if (slot.index !== index) {
      slot.index = index;
      row.style.transform = `translateY(${index * ROW_HEIGHT}px)`;
      row.setAttribute("aria-rowindex", index + 2);
      row.classList.toggle("odd", index % 2 === 1);
    }
    const isOther = slot.device !== device;
    slot.device = device;
    const isSilent = this.on.isSilent(device);
    if (isSilent !== slot.isSilent) {
      slot.isSilent = isSilent;
      row.classList.toggle("silent", isSilent);
    }
    setAttribute(row, "aria-selected", device === this.#active ? "true" : "false");
    const now = performance.now();
    this.#columns.forEach((column, number) => {
      const part = slot.cells[number];
      const text = column.text(device);
      if (text !== part.shown) {
        part.shown = text;
        part.text.textContent = text;
      }
      const at = column.changed?.(device);
      const isMarked = at !== undefined && now - at < MARKED_MS;
      if (isMarked ? at !== part.at || isOther : part.at !== undefined) {
        // The animations are equal; another name starts it again.
        const isFirst = part.cell.classList.contains("changed-b") || !isMarked;
        part.cell.classList.toggle("changed-a", isMarked && isFirst);
        part.cell.classList.toggle("changed-b", isMarked && !isFirst);
        if (isMarked) part.cell.style.animationDelay = `${Math.round(at - now)}ms`;
        part.at = isMarked ? at : undefined;
      }
    });
  }

  #click(event) {
    const row = event.target.closest(".row");
    const slot = this.#slots.find((candidate) => candidate.row === row);
    if (slot?.device === undefined) return;
    this.#activate(slot.device);
    this.on.open(slot.device);
  }

  #activate(device) {
    this.#active = device;
    this.on.active?.(device);
    this.render();
  }

  #key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = this.#rows;
    const page = Math.max(1, Math.floor(this.#height / ROW_HEIGHT) - 2);
    const index = rows.indexOf(this.#active);
    const first = Math.ceil(this.element.scrollTop / ROW_HEIGHT);
    const next = {
      ArrowDown: index < 0 ? first : index + 1,
      ArrowUp: index < 0 ? first : index - 1,
      PageDown: index < 0 ? first : index + page,
      PageUp: index < 0 ? first : index - page,
      Home: 0,
      End: rows.length - 1,
    }[event.key];
    if (next !== undefined && rows.length > 0) {
      event.preventDefault();
      const to = Math.max(0, Math.min(rows.length - 1, next));
      this.#scrollTo(to);
      this.#activate(rows[to]);
    } else if ((event.key === "Enter" || event.key === " ") && index >= 0) {
      event.preventDefault();
      this.on.open(rows[index]);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      this.element.scrollLeft += event.key === "ArrowRight" ? 80 : -80;
    }
  }

  #scrollTo(index) {
    const [top, bottom] = [index * ROW_HEIGHT, (index + 1) * ROW_HEIGHT];
    const space = this.#height - this.head.offsetHeight;
    if (top < this.element.scrollTop) this.element.scrollTop = top;
    else if (bottom > this.element.scrollTop + space) this.element.scrollTop = bottom - space;
  }
}
