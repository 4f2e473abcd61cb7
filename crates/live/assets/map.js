// The map of the devices that have coordinates: points over a coastline, and the same devices as a table.

import { idColumn } from "./columns.js";
import { place } from "./coordinates.js";
import { element, setAttribute, setText } from "./dom.js";
import { View } from "./fleet.js";
import { MapPainter } from "./painter.js";
import { Projection } from "./projection.js";
import { DeviceTable } from "./table.js";
import { age, count } from "./text.js";

/** A pointer this close to a point selects it, in pixels. */
const REACH = 14;

/** The view of the map. */
export class MapView {
  #isFitted = false;
  #isMoved = false;
  #drag;
  #painted = "";
  #idWidth;

  constructor(fleet, onOpen) {
    this.fleet = fleet;
    this.onOpen = onOpen;
    this.projection = new Projection();
    this.canvas = element("canvas", { tabindex: "0", role: "img" });
    this.painter = new MapPainter(this.canvas, this.projection);
    this.tip = element("p", { class: "tip", hidden: true });
    const button = (text, label, action) =>
      element("button", { type: "button", "aria-label": label, onclick: action }, text);
    const controls = element(
      "div",
      { class: "controls" },
      button("+", "Zoom in", () => this.#zoom(1.6)),
      button("−", "Zoom out", () => this.#zoom(1 / 1.6)),
      button("Fit", "Fit all devices", () => this.#fit()),
    );
    this.map = element("div", { class: "map" }, this.canvas, this.tip, controls);
    this.view = new View(fleet, (device) => place(device, fleet.coordinates()) !== undefined);
    this.view.by = (device) => device.heardMs;
    this.view.direction = -1;
    this.table = new DeviceTable("Devices on the map", {
      open: onOpen,
      isSilent: (device) => fleet.isSilent(device),
      active: () => this.render(),
      sort: (column) => {
        this.view.sort(column.by, this.sorted === column.key ? -this.view.direction : 1);
        this.#setColumns(column.key);
        this.render();
        this.table.focusTitle(column.key);
      },
    });
    this.#setColumns("heard");
    this.summary = element("p", { class: "summary" });
    this.element = element(
      "section",
      { class: "map-view", "aria-label": "Map" },
      this.summary,
      this.map,
      this.table.element,
    );
    this.#listen();
  }

  #setColumns(key) {
    this.sorted = key;
    const at = (device) => place(device, this.fleet.coordinates());
    const degrees = (device) =>
      at(device)
        ?.map((part) => part.toFixed(5))
        .reverse()
        .join(", ") ?? "";
    const heard = (device) =>
      `${this.fleet.isSilent(device) ? "silent, " : ""}${age(device.heardMs, this.fleet.now())}`;
    const columns = [
      idColumn(this.fleet),
      { key: "heard", title: "Last heard", width: 165, grow: 1, text: heard, by: ({ heardMs }) => heardMs },
      {
        key: "place",
        title: "Latitude, longitude",
        width: 190,
        grow: 1,
        text: degrees,
        by: (device) => at(device)?.[1],
        changed: (device) => this.#changed(device),
      },
    ];
    this.table.setColumns(columns, key, this.view.direction);
  }

  #changed(device) {
    for (const { latitude, longitude } of this.fleet.coordinates()) {
      const at = device.changed.get(latitude) ?? device.changed.get(longitude);
      if (at !== undefined) return at;
    }
    return undefined;
  }

  #listen() {
    const { canvas, projection } = this;
    new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      if (width === 0 || height === 0) return;
      [projection.width, projection.height] = [width, height];
      this.painter.resize();
      if (!this.#isMoved) this.#isFitted = false;
      this.#painted = "";
      this.render();
    }).observe(this.map);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => this.#changedView(false));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
    });
    canvas.addEventListener("pointerdown", (event) => {
      this.#drag = { x: event.offsetX, y: event.offsetY, moved: 0 };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("pointerup", (event) => {
      const isClick = this.#drag !== undefined && this.#drag.moved < 4;
      this.#drag = undefined;
      const device = isClick ? this.#nearest(event.offsetX, event.offsetY) : undefined;
      if (device !== undefined) this.onOpen(device);
    });
    canvas.addEventListener("pointercancel", () => (this.#drag = undefined));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 60;
    const moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) {
      this.projection.move(...moves[event.key]);
      this.#changedView();
    } else if (event.key === "+" || event.key === "=") this.#zoom(1.6);
    else if (event.key === "-") this.#zoom(1 / 1.6);
    else if (event.key === "0") this.#fit();
    else return;
    event.preventDefault();
  }

  #point(event) {
    if (this.#drag) {
      const [x, y] = [event.offsetX - this.#drag.x, event.offsetY - this.#drag.y];
      this.#drag = { x: event.offsetX, y: event.offsetY, moved: this.#drag.moved + Math.abs(x) + Math.abs(y) };
      if (this.#drag.moved < 4) return;
      this.projection.move(x, y);
      this.#changedView();
      return;
    }
    const device = this.#nearest(event.offsetX, event.offsetY);
    this.tip.hidden = device === undefined;
    this.canvas.classList.toggle("over", device !== undefined);
    if (device === undefined) return;
    setText(
      this.tip,
      `${device.id} · ${this.fleet.isSilent(device) ? "silent, " : ""}${age(device.heardMs, this.fleet.now())}`,
    );
    const [x, y] = this.projection.toPixel(place(device, this.fleet.coordinates()));
    this.tip.style.transform = `translate(${Math.min(x + 12, this.projection.width - this.tip.offsetWidth - 8)}px, ${Math.max(4, y - 30)}px)`;
  }

  #nearest(x, y) {
    let [nearest, least] = [undefined, REACH];
    for (const device of this.view.rows) {
      const at = place(device, this.fleet.coordinates());
      if (at === undefined) continue;
      const [pointX, pointY] = this.projection.toPixel(at);
      const away = Math.hypot(pointX - x, pointY - y);
      if (away < least) [nearest, least] = [device, away];
    }
    return nearest;
  }

  #zoom(factor, x, y) {
    this.projection.zoom(factor, x, y);
    this.#changedView();
  }

  #fit() {
    this.#isFitted = false;
    this.#isMoved = false;
    this.#changedView(false);
  }

  #changedView(isMoved = true) {
    this.#isMoved ||= isMoved;
    this.#painted = "";
    this.render();
  }

  render() {
    const { fleet, projection } = this;
    const pairs = fleet.coordinates();
    const rows = this.view.update();
    const { width } = idColumn(fleet);
    if (width !== this.#idWidth) {
      this.#idWidth = width;
      this.#setColumns(this.sorted);
    }
    this.table.setRows(rows);
    setText(
      this.summary,
      `${count(rows.length)} of ${count(fleet.devices.size)} devices have coordinates (${pairs
        .map((pair) => `${pair.latitude}, ${pair.longitude}`)
        .slice(0, 3)
        .join("; ")})`,
    );
    setAttribute(
      this.canvas,
      "aria-label",
      `Map with ${count(rows.length)} devices. Arrow keys move it, plus and minus zoom, 0 shows all devices. The table after it lists the same devices.`,
    );
    if (projection.width <= 1) return;
    if (!this.#isFitted && rows.length > 0) {
      projection.fit(rows.map((device) => place(device, pairs)).filter(Boolean));
      this.#isFitted = true;
    }
    // Silent devices change their look with time.
    const painted = `${fleet.revision} ${Math.floor(fleet.now() / 1000)} ${this.table.active?.id}`;
    if (painted === this.#painted) return;
    this.#painted = painted;
    const points = rows.map((device) => ({
      at: place(device, pairs),
      isSilent: fleet.isSilent(device),
      isActive: device === this.table.active,
    }));
    this.painter.paint(points.filter(({ at }) => at !== undefined));
  }
}
