// What to do if there is not a device yet.

import { copyButton, element } from "./dom.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Returns the command that sends a first event, or that starts a system which takes events. */
function command({ listen, state }) {
  if (listen) {
    const body = '{"deviceId":"my-device","battery":0.9,"latitude":63.4,"longitude":10.4}';
    return `curl -X POST ${quoted(listen)} -H 'Content-Type: application/json' -d '${body}'`;
  }
  return `devicestate local --listen --ui${state ? ` --state ${quoted(state)}` : ""}`;
}

/** Returns elements that explain an empty table. */
export function emptyFleet(info) {
  const text = command(info);
  const advice = info.listen
    ? "Send an event with this command in a terminal; its device appears here within a few seconds."
    : "Devices appear here as soon as one is stored. This command starts a system on this machine that takes events by HTTP:";
  return [
    element("h2", {}, "No device yet"),
    element("p", {}, advice),
    element(
      "div",
      { class: "command" },
      element("code", {}, text),
      copyButton(() => text, "Copy the command"),
    ),
  ];
}
