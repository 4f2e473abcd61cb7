// The dead letters by their issue, with the command that repairs them.

import { copyButton, element, keyed, setText } from "./dom.js";
import { deviceAddress } from "./routes.js";
import { age, count, counted } from "./text.js";

/** The view of the dead letters. */
export class LettersView {
  #groups = new Map();
  #data;

  constructor(fleet) {
    this.fleet = fleet;
    this.summary = element("p", { class: "summary" }, "Loading…");
    this.list = element("ul", { class: "groups" });
    this.element = element(
      "section",
      { class: "dead-letters", "aria-label": "Dead letters", tabindex: "0" },
      this.summary,
      this.list,
    );
  }

  get total() {
    return this.#data?.total;
  }

  show(data) {
    this.#data = data;
    keyed(
      this.list,
      this.#groups,
      data.groups,
      (group) => JSON.stringify([group.issue, group.errorClass, group.stage]),
      () => this.#create(),
    );
  }

  render() {
    if (this.#data === undefined) return;
    const { total, groups, examined, problem } = this.#data;
    const parts = [
      total === 0
        ? "No dead letters: every event was processed"
        : `${counted(total, "dead letter")} with ${counted(groups.length, "issue")}`,
    ];
    if (examined < total) parts.push(`the first ${count(examined)} were examined`);
    if (problem) parts.push(`the queue cannot be read: ${problem}`);
    setText(this.summary, parts.join(" · "));
    for (const group of this.#groups.values()) group.tick();
  }

  #create() {
    const [number, issue, details, devices] = [
      element("span", { class: "count" }),
      element("span"),
      element("p", { class: "details" }),
      element("p", { class: "samples" }),
    ];
    const code = element("code");
    const command = element(
      "div",
      { class: "command" },
      code,
      copyButton(() => code.textContent, "Copy the command that repairs them"),
    );
    const kept = new Map();
    const links = element("span");
    devices.append("Devices: ", links);
    let group;
    const tick = () => {
      const parts = [group.stage, group.errorClass, `oldest ${age(group.oldestMs, this.fleet.now())}`];
      setText(details, parts.filter(Boolean).join(" · "));
    };
    return {
      element: element("li", {}, element("h2", {}, number, " ", issue), details, devices, command),
      tick,
      update: (now) => {
        group = now;
        setText(number, counted(now.count, "event"));
        setText(issue, now.issue);
        setText(code, now.command);
        devices.hidden = now.devices.length === 0;
        keyed(
          links,
          kept,
          now.devices,
          (id) => id,
          (id) => ({ element: element("a", { href: deviceAddress(id) }, id), update() {} }),
        );
        tick();
      },
    };
  }
}
