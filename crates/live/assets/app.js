// The page: connects the stream with the views.

import { Refused, Stream, json, setToken, takeToken } from "./connection.js";
import { DevicePanel } from "./device.js";
import { Devices } from "./devices.js";
import { element } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Header } from "./header.js";
import { LettersView } from "./letters.js";
import { MapView } from "./map.js";
import { deviceAddress, route } from "./routes.js";
import { Figures, RunView } from "./run.js";

const RETRY_MS = 1000;

/** Asks for the token, which the printed address has. */
function askForToken() {
  const input = element("input", { type: "text", id: "token", autocomplete: "off", spellcheck: "false" });
  const submit = (event) => {
    event.preventDefault();
    setToken(input.value);
    location.reload();
  };
  const message =
    "Open the address that devicestate printed when it started, or paste that address or its token here. Each start has another token.";
  document.body.replaceChildren(
    element(
      "main",
      { class: "token" },
      element("h1", {}, "This page needs its token"),
      element("p", { role: "alert" }, message),
      element(
        "form",
        { onsubmit: submit, class: "field" },
        element("label", { for: "token" }, "Address or token"),
        element("span", { class: "joined" }, input, element("button", { type: "submit" }, "Open")),
      ),
    ),
  );
  input.focus();
}

/** Reads what the server says about itself, until it answers. */
async function readInfo() {
  for (;;) {
    try {
      return await json("live/info");
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return undefined; // the token is wrong
      document.body.replaceChildren(
        element(
          "main",
          { class: "token" },
          element("p", { role: "status" }, `devicestate does not answer: ${error.message}. Trying again…`),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

class Page {
  #isDrawing = false;
  #last = "devices";

  constructor(info) {
    this.fleet = new Fleet();
    if (info.silentAfterMs) this.fleet.silentAfterMs = info.silentAfterMs;
    this.figures = new Figures();
    const open = ({ id }) => (location.hash = deviceAddress(id));
    this.stream = new Stream({
      event: (name, data) => this.#event(name, data),
      state: (name, message) => this.#state(name, message),
      filter: (where, problem) => {
        this.views.devices.filtered(where, problem);
        this.draw();
      },
    });
    this.header = new Header(info, this.fleet, this.figures);
    this.letters = new LettersView(this.fleet);
    this.views = {
      devices: new Devices(this.fleet, info, {
        open,
        filter: (where) => this.stream.filter(where),
        silentAfter: () => this.draw(),
      }),
      map: new MapView(this.fleet, open),
      run: new RunView(this.figures, info),
      "dead-letters": this.letters,
    };
    this.panel = new DevicePanel(this.fleet, () => this.#close());
    this.main = element(
      "main",
      { id: "main", tabindex: "-1" },
      ...Object.values(this.views).map((view) => view.element),
      this.panel.element,
    );
    // A link to #main would change the shown view.
    const skip = element(
      "button",
      { type: "button", class: "skip", onclick: () => this.main.focus() },
      "Skip to the content",
    );
    document.body.replaceChildren(skip, this.header.element, this.main);
    addEventListener("hashchange", () => this.#route());
    document.addEventListener("visibilitychange", () => this.draw());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && route().view === "device") this.#close();
    });
    // Ages grow without a change.
    setInterval(() => this.draw(), 1000);
    this.#route();
    this.stream.run();
  }

  #event(name, data) {
    if (name === "snapshot") this.fleet.snapshot(data);
    else if (name === "changes") this.fleet.changes(data);
    else if (name === "figures") this.figures.add(data);
    else if (name === "deadLetters") this.letters.show(data);
    else if (name === "problem") this.header.state(data.message ? "problem" : "live", data.message ?? "");
    this.draw();
  }

  #state(name, message) {
    if (name === "refused") askForToken();
    else this.header.state(name, message);
  }

  #close() {
    location.hash = `#/${this.#last}`;
    // At once, because an element that is not shown cannot be focused.
    this.#route();
    const { table } = this.views[this.#last];
    if (table) table.focus();
    else this.main.focus();
  }

  #route() {
    const { view, id } = route();
    if (view !== "device") this.#last = view;
    for (const [name, { element: section }] of Object.entries(this.views)) section.hidden = name !== this.#last;
    this.main.classList.toggle("with-panel", id !== undefined);
    this.panel.open(id);
    const { table } = this.views[this.#last];
    if (id !== undefined) table?.setActive(this.fleet.devices.get(id) ?? table.active);
    this.header.route(this.#last, id);
    this.draw();
  }

  /** Draws before the next frame; whatever happens until then is drawn once. A hidden page is drawn when it is visible. */
  draw() {
    if (this.#isDrawing || document.hidden) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      this.header.render(this.letters.total);
      this.views[this.#last].render();
      this.panel.render();
    });
  }
}

takeToken();
const info = await readInfo();
if (info === undefined) askForToken();
else new Page(info);
