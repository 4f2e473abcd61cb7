// The top of the page: what it shows, the totals, the views and the state of the connection.

import { element, setAttribute, setText } from "./dom.js";
import { VIEWS } from "./routes.js";
import { compact, count, duration } from "./text.js";

const STATES = { connecting: "Connecting…", live: "Live", reconnecting: "Reconnecting…", problem: "Problem" };

export class Header {
  #state = "connecting";
  #message = "";
  #since = Date.now();

  constructor(info, fleet, figures) {
    this.fleet = fleet;
    this.figures = figures;
    const source = info.state ? `${info.store}: ${info.state}` : info.store;
    const about = [info.program, source, info.readOnly ? "read-only page" : undefined].filter(Boolean).join(" · ");
    this.connection = element("p", { class: "connection", role: "status" });
    this.totals = element("dl");
    this.selection = element("p", { class: "about" });
    this.parts = new Map();
    this.links = new Map(Object.entries(VIEWS).map(([name, title]) => [name, this.#link(name, title)]));
    this.element = element(
      "header",
      { class: "page" },
      element("div", { class: "name" }, element("h1", {}, "devicestate"), element("p", { class: "about" }, about)),
      element("div", { class: "numbers" }, this.totals, this.selection),
      this.connection,
      element("nav", { "aria-label": "Views" }, ...[...this.links.values()].map(({ link }) => link)),
    );
  }

  #link(name, title) {
    const number = element("span", { class: "badge" });
    return { link: element("a", { href: `#/${name}` }, title, number), number };
  }

  state(name, message = "") {
    if (name !== this.#state) this.#since = Date.now();
    // A problem is shown until the connection is live.
    if (name === "reconnecting" && this.#state === "problem") return;
    this.#state = name;
    this.#message = message;
    this.render(undefined);
  }

  route(view, id) {
    for (const [name, { link }] of this.links) setAttribute(link, "aria-current", name === view ? "page" : undefined);
    document.title = `${id ?? VIEWS[view]} · devicestate`;
  }

  #total(title, text, kind) {
    if (!this.parts.has(title)) {
      const value = element("dd");
      this.parts.set(title, value);
      this.totals.append(element("div", {}, element("dt", {}, title), value));
    }
    const value = this.parts.get(title);
    setText(value, text);
    setAttribute(value, "class", kind);
  }

  render(deadLetters) {
    const { fleet, figures } = this;
    const state = STATES[this.#state];
    const passed = Date.now() - this.#since;
    setAttribute(this.connection, "class", `connection ${this.#state}`);
    const reason =
      this.#message || (this.#state === "reconnecting" ? "the program does not answer, the data is not current" : "");
    setText(this.connection, reason ? `${state} ${reason}` : state);
    setAttribute(this.connection, "title", `for ${duration(passed)}`);
    if (fleet.isComplete) {
      const silent = fleet.silent();
      this.#total("Devices", count(fleet.total));
      this.#total("Silent", count(silent), silent > 0 ? "attention" : undefined);
      setText(this.selection, fleet.where ? "of those that match the filter" : "");
    }
    if (figures.last) {
      const rate = figures.rate("processed");
      this.#total("Processed", count(figures.last.processed));
      this.#total("Events/s", rate === null ? "–" : compact(rate));
    }
    if (deadLetters !== undefined) {
      this.#total("Dead letters", count(deadLetters), deadLetters > 0 ? "problem" : undefined);
      setText(this.links.get("dead-letters").number, deadLetters > 0 ? count(deadLetters) : "");
    }
    this.links.get("map").link.hidden = fleet.coordinates().length === 0;
    this.links.get("run").link.hidden = false;
  }
}
