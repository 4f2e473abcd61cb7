// The devices as the server last sent them, and which of them the page shows in which order.

import { coordinateNames } from "./coordinates.js";

const same = (one, other) =>
  one === other || (typeof one === "object" && JSON.stringify(one) === JSON.stringify(other));

/** All devices that the stream has sent. */
export class Fleet {
  devices = new Map();
  /** How many devices have a reading, by its name. */
  names = new Map();
  /** How many devices the filter selects, also of those that the server does not hold. */
  total = 0;
  /** The filter; empty for all devices. */
  where = "";
  /** Whether the first snapshot is complete. */
  isComplete = false;
  /** Counts the changes of which devices there are. */
  membership = 0;
  /** Counts all changes. */
  revision = 0;
  /** A device that is not heard for so long is shown as silent. */
  silentAfterMs = 15 * 60_000;
  #offsetMs = 0;
  #pairs;
  #namesChanges = 0;
  #pairsOf = -1;

  /** The time of the server, in milliseconds since 1970. */
  now() {
    return Date.now() + this.#offsetMs;
  }

  /** Takes a part of all devices; the first part replaces what was before. */
  snapshot({ nowMs, total, devices, first, more }) {
    if (first) {
      this.devices.clear();
      this.names.clear();
      this.#namesChanges += 1;
    }
    this.#offsetMs = nowMs - Date.now();
    this.total = total;
    this.isComplete = !more;
    for (const device of devices) this.#put(device, undefined);
    this.membership += 1;
    this.revision += 1;
  }

  changes({ nowMs, total, devices, removed = [] }) {
    this.#offsetMs = nowMs - Date.now();
    this.total = total;
    const at = performance.now();
    for (const device of devices) this.#put(device, at);
    for (const id of removed) this.#remove(id);
    this.revision += 1;
  }

  #put(device, at) {
    // A reading may be called `constructor`: no device has a reading that it has not sent.
    Object.setPrototypeOf(device.readings, null);
    const before = this.devices.get(device.id);
    if (before === undefined) {
      device.changed = new Map();
      this.devices.set(device.id, device);
      for (const name of Object.keys(device.readings)) this.#count(name, 1);
      this.membership += 1;
      return;
    }
    // The object stays the same, so that the order and the active row keep it.
    for (const [name, reading] of Object.entries(device.readings)) {
      if (!Object.hasOwn(before.readings, name)) this.#count(name, 1);
      if (!same(before.readings[name], reading)) before.changed.set(name, at);
    }
    for (const name of Object.keys(before.readings)) {
      if (!Object.hasOwn(device.readings, name)) this.#count(name, -1);
    }
    before.heardMs = device.heardMs;
    before.silentSinceMs = device.silentSinceMs;
    before.writtenMs = device.writtenMs;
    before.readings = device.readings;
  }

  #remove(id) {
    const device = this.devices.get(id);
    if (device === undefined) return;
    for (const name of Object.keys(device.readings)) this.#count(name, -1);
    this.devices.delete(id);
    this.membership += 1;
  }

  #count(name, difference) {
    const before = this.names.get(name) ?? 0;
    if (before + difference > 0) this.names.set(name, before + difference);
    else this.names.delete(name);
    if (before === 0 || before + difference <= 0) this.#namesChanges += 1;
  }

  /** Returns the names of the readings, the most common ones first. */
  readingNames() {
    return [...this.names.entries()].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).map(([name]) => name);
  }

  /** Returns the pairs of names that hold a latitude and a longitude. */
  coordinates() {
    if (this.#pairsOf !== this.#namesChanges) {
      this.#pairs = coordinateNames([...this.names.keys()]);
      this.#pairsOf = this.#namesChanges;
    }
    return this.#pairs;
  }

  /** Returns whether a device is marked as silent, or was not heard for `silentAfterMs`. */
  isSilent(device, now = this.now()) {
    const { heardMs, silentSinceMs } = device;
    if (heardMs === null || heardMs <= now - this.silentAfterMs) return true;
    return silentSinceMs !== undefined && silentSinceMs !== null && heardMs <= silentSinceMs;
  }

  /** Returns how many devices are silent. */
  silent() {
    const now = this.now();
    let silent = 0;
    for (const device of this.devices.values()) if (this.isSilent(device, now)) silent += 1;
    return silent;
  }
}

const RANKS = { number: 0, string: 1, boolean: 2, object: 3 };

/** Compares two values of any type; no value is always last. */
function compare(one, other, direction) {
  const [isOne, isOther] = [one !== undefined && one !== null, other !== undefined && other !== null];
  if (!isOne || !isOther) return Number(isOther) - Number(isOne);
  if (typeof one !== typeof other) return RANKS[typeof one] - RANKS[typeof other];
  if (typeof one === "object") return compare(JSON.stringify(one), JSON.stringify(other), direction);
  if (one === other) return 0;
  return one < other ? -direction : direction;
}

/** The shown devices in their order. */
export class View {
  /** Only ids that begin with this are shown. */
  prefix = "";
  /** Only silent devices are shown. */
  isOnlySilent = false;
  /** By what the devices are sorted: a function of a device. */
  by = (device) => device.id;
  /** 1 or -1. */
  direction = 1;
  rows = [];
  #selected = "";
  #sorted = "";

  /** `isIncluded` selects devices by their readings. */
  constructor(fleet, isIncluded = undefined) {
    this.fleet = fleet;
    this.isIncluded = isIncluded;
  }

  sort(by, direction) {
    this.by = by;
    this.direction = direction;
    this.#sorted = "";
  }

  /** Brings the rows up to date; does nothing if nothing has changed. */
  update() {
    const { fleet } = this;
    const now = fleet.now();
    // Devices become silent as time passes.
    const second = this.isOnlySilent ? Math.floor(now / 1000) : 0;
    // With each change, a device may become included.
    const changes = this.isIncluded ? fleet.revision : fleet.membership;
    const selected = `${changes} ${second} ${this.isOnlySilent} ${fleet.silentAfterMs} ${this.prefix}`;
    if (selected !== this.#selected) {
      this.rows = [];
      for (const device of fleet.devices.values()) {
        if (this.prefix !== "" && !device.id.startsWith(this.prefix)) continue;
        if (this.isOnlySilent && !fleet.isSilent(device, now)) continue;
        if (!this.isIncluded || this.isIncluded(device)) this.rows.push(device);
      }
      this.#selected = selected;
      this.#sorted = "";
    }
    const sorted = `${fleet.revision}`;
    if (sorted !== this.#sorted) {
      const { by, direction } = this;
      // The order is mostly the same as before, which the browser's sort uses.
      this.rows.sort((a, b) => compare(by(a), by(b), direction) || compare(a.id, b.id, 1));
      this.#sorted = sorted;
    }
    return this.rows;
  }
}
