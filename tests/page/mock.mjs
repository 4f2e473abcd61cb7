// A server for the page with generated devices, for what a run cannot give quickly: many devices, many changes, faults.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const ASSETS = fileURLToPath(new URL("../../crates/live/assets/", import.meta.url));
const TYPES = {
  ".html": "text/html",
  ".css": "text/css",
  ".js": "text/javascript",
  ".json": "application/json",
  ".svg": "image/svg+xml",
  ".txt": "text/plain",
};
const POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const SNAPSHOT_DEVICES = 1000;
/** The server sends at most four frames of changes a second. */
export const FRAME_MS = 250;
export const TOKEN = "correct-token";

/** Returns a device that was heard so long ago. */
export function device(id, readings, agoMs = 0, more = {}) {
  return { id, heardMs: Date.now() - agoMs, writtenMs: Date.now(), readings, ...more };
}

/** A server with these devices, by id. Each connection is a response that takes events. */
export class Mock {
  devices = new Map();
  connections = new Set();
  requests = [];
  /** Whether requests fail. */
  isDown = false;
  figures = undefined;
  deadLetters = { total: 0, examined: 0, groups: [] };
  details = (device) => ({
    ...device,
    readings: Object.entries(device.readings).map(([name, value]) => ({
      name,
      value,
      timeMs: device.heardMs,
      sequenceNumber: 7,
      partition: "1",
      source: 2,
      history: [],
    })),
    deadLetters: [],
    deadLetterCount: 0,
  });
  info = {
    program: "devicestate 0.2.0",
    store: "sqlite",
    state: "state.db",
    run: true,
    partitions: 2,
    listen: null,
    silentAfterMs: null,
    readOnly: true,
    maxDevices: 20000,
  };

  constructor(devices = []) {
    for (const device of devices) this.devices.set(device.id, device);
  }

  /** Starts, and returns the address with the token. */
  async start() {
    this.server = createServer((request, response) => this.#answer(request, response));
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.origin = `http://127.0.0.1:${this.server.address().port}`;
    return `${this.origin}/?token=${TOKEN}`;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #answer(request, response) {
    const url = new URL(request.url, this.origin);
    this.requests.push(url.pathname);
    const send = (status, type, body, more = {}) =>
      response
        .writeHead(status, {
          "content-type": `${type}; charset=utf-8`,
          "content-security-policy": POLICY,
          "x-content-type-options": "nosniff",
          ...more,
        })
        .end(body);
    const problem = (status, detail) =>
      send(status, "application/problem+json", JSON.stringify({ title: detail, status, detail }));
    if (!url.pathname.startsWith("/live/")) {
      const path = normalize(url.pathname === "/" ? "index.html" : `.${url.pathname}`);
      try {
        return send(200, TYPES[extname(path)], readFileSync(join(ASSETS, path)));
      } catch {
        return problem(404, "no such file");
      }
    }
    if (this.isDown) return request.destroy();
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return problem(401, "the token is missing or wrong");
    if (url.pathname === "/live/info") return send(200, "application/json", JSON.stringify(this.info));
    if (url.pathname === "/live/device") {
      const device = this.devices.get(url.searchParams.get("id"));
      return device
        ? send(200, "application/json", JSON.stringify(this.details(device)))
        : problem(404, "there is not a device with this id");
    }
    const where = url.searchParams.get("where") ?? "";
    const filter = /^(\w+) ?([<>]) ?([\d.]+)$/.exec(where);
    if (where !== "" && filter === null) return problem(400, "at character 9 of `where`: expected a value");
    const isShown = ({ readings }) =>
      filter === null ||
      (filter[2] === "<" ? readings[filter[1]] < Number(filter[3]) : readings[filter[1]] > Number(filter[3]));
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    this.#snapshot(response, [...this.devices.values()].filter(isShown));
    if (this.figures) event(response, "figures", { ...this.figures, nowMs: Date.now() });
    event(response, "deadLetters", this.deadLetters);
    this.connections.add(response);
    response.on("close", () => this.connections.delete(response));
  }

  #snapshot(response, shown) {
    for (let from = 0; from === 0 || from < shown.length; from += SNAPSHOT_DEVICES) {
      const devices = shown.slice(from, from + SNAPSHOT_DEVICES);
      event(response, "snapshot", {
        nowMs: Date.now(),
        total: shown.length,
        shown: shown.length,
        devices,
        first: from === 0,
        more: from + SNAPSHOT_DEVICES < shown.length,
      });
    }
  }

  /** Sends an event to every connection. */
  send(name, data) {
    for (const response of this.connections) event(response, name, { nowMs: Date.now(), ...data });
  }

  /** Stores these devices, and sends them as changed. */
  change(...devices) {
    for (const device of devices) this.devices.set(device.id, device);
    this.send("changes", { total: this.devices.size, devices });
  }
}

function event(response, name, data) {
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}
