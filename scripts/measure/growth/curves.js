// What grows. A point tells the driver its options; all else is the same along a curve. `fill` is how many batches of each
// connection come before, so that what is measured is not the first event of each device.
"use strict";

const MEMORY = { StateStore: "memory" };

// The cache holds what it may by default, so that the larger fleets do not fit in.
const SQLITE = { StateStore: "sqlite", DocumentCacheMegabytes: "64" };

/** A request has no more bytes of bodies than this, and no more events. */
const REQUEST_BYTES = 5_000_000;
const MOST_EVENTS = 1_000;

const CONNECTIONS = 8;

/** The devices of a batch are drawn by chance: after twice as many events as there are devices, 86 of 100 have had one. */
const fleet = (total) => {
  const connections = Math.min(total, CONNECTIONS);
  const devices = Math.ceil(total / connections);
  return {
    at: total,
    load: { events: MOST_EVENTS, connections, devices },
    fill: Math.ceil((2 * devices) / MOST_EVENTS),
  };
};

const sized = (bytes) => {
  const events = Math.max(1, Math.min(MOST_EVENTS, Math.floor(REQUEST_BYTES / bytes)));
  return { at: bytes, load: { events, "body-bytes": bytes } };
};

const beside = (label, large, cores, base) => ({
  at: large ?? 0,
  label,
  cores,
  base,
  // The large ones have a connection of their own: there are always seven of small ones.
  load: large ? { events: 100, connections: 8, "large-body": large } : { events: 100, connections: 7 },
});

/** `cost` is the figure by which points are compared: each with the first, or with the one that `base` is the place of. */
const CURVES = [
  {
    name: "batch",
    title: "Events of a batch; 8 batches in flight",
    unit: "events",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 10, 100, 1_000, 10_000].map((events) => ({ at: events, load: { events } })),
  },
  {
    // With few devices many events of a batch are of one, and share its write; from 8,000 on hardly any.
    name: "devices-sqlite",
    title: "Devices in all; batches of 1,000, documents in SQLite, a cache of 64 MiB",
    unit: "devices",
    cost: "nsPerEvent",
    settings: SQLITE,
    points: [1, 1_000, 8_000, 100_000, 1_000_000].map(fleet),
  },
  {
    // What a fleet costs the handler without a store that is on a disk; the memory is that of the store.
    name: "devices-memory",
    title: "Devices in all; batches of 1,000, documents in memory",
    unit: "devices",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 1_000, 8_000, 100_000, 1_000_000].map(fleet),
  },
  {
    name: "partitions",
    title: "Batches in flight at once, of 100 events, each of another partition",
    unit: "partitions",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 2, 4, 8, 16, 32, 64].map((connections) => ({ at: connections, load: { events: 100, connections } })),
  },
  {
    name: "body",
    title: "Bytes of an event's body; at most 1,000 events and 5 MB a batch",
    unit: "bytes",
    cost: "nsPerByte",
    // What a device says without padding is a little less than 300 bytes.
    settings: MEMORY,
    points: [300, 1_000, 10_000, 100_000, 1_000_000].map(sized),
  },
  {
    name: "hot",
    title: "One hot device: batches of 1,000 events of few devices; one partition",
    unit: "devices",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [100, 1].map((devices) => ({ at: devices, load: { events: 1_000, connections: 1, devices } })),
  },
  {
    name: "large",
    title: "A batch of one event of 1 MB beside seven partitions of small batches of 100",
    unit: "bytes",
    cost: "p99Ms",
    settings: MEMORY,
    points: [
      beside("small ones alone, one core"),
      beside("beside large ones, one core", 1_000_000),
      beside("small ones alone, two cores", undefined, "0,1", 2),
      beside("beside large ones, two cores", 1_000_000, "0,1", 2),
    ],
  },
];

module.exports = { CURVES };
