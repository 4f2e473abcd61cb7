// The event of the smoke test: its body from a template, and where its number is in the document.
"use strict";

// A fleet whose telemetry file does not read this needs the option --event.
const DEFAULT = '{"deviceId":"{device}","position":{"altitude":{number}}}';

// The placeholders of `devicestate-send --template`. The number is the time, which identifies the run.
const PLACEHOLDERS = {
  "{device}": (device) => JSON.stringify(device).slice(1, -1),
  "{number}": (_, sent) => String(sent),
  "{time}": (_, sent) => new Date(sent).toISOString(),
  "{unix_ms}": (_, sent) => String(sent),
};

/** Returns the event of a device. */
function fill(template, device, sent) {
  return template.replace(/\{\w+\}/g, (name) => PLACEHOLDERS[name]?.(device, sent) ?? name);
}

/** Checks a template: its events must be JSON that contains the device and the number. */
function check(template) {
  const has = (...names) => names.some((name) => template.includes(name));
  if (!has("{device}") || !has("{number}", "{unix_ms}", "{time}")) {
    throw new Error(`the option --event must contain {device} and {number} (or {unix_ms}, {time}), but is ${template}`);
  }
  try {
    JSON.parse(fill(template, "smoke-test", 1));
  } catch ({ message }) {
    throw new Error(`the option --event must be JSON when its placeholders are replaced: ${message}`);
  }
}

/** Returns the path of the value that was sent; null if the document does not contain it. */
function find(document, sent) {
  // Versions contain times, too.
  const { id, Heard, Versions, ...readings } = document ?? {};
  return pathIn(readings, (value) => value === sent || (typeof value === "string" && contains(value, sent)));
}

function contains(text, sent) {
  return text.includes(fill("{number}", "", sent)) || text.includes(fill("{time}", "", sent));
}

function pathIn(value, isSent) {
  if (isSent(value)) return [];
  if (typeof value !== "object") return null;
  for (const [name, member] of Object.entries(value ?? {})) {
    const path = pathIn(member, isSent);
    if (path) return [name, ...path];
  }
  return null;
}

module.exports = { DEFAULT, check, fill, find };
