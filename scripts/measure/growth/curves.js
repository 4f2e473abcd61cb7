// The curves. Each point has options of the driver; everything else is constant along a curve. `fill` is the number of
// batches per connection before the measurement, so that it does not measure the first event of each device.
"use strict";

const { KINDS } = require("./kinds.js");

const MEMORY = { StateStore: "memory", Telemetry: "drone" };

// The default cache size, which is too small for the larger fleets.
const SQLITE = { StateStore: "sqlite", Telemetry: "drone", DocumentCacheMegabytes: "64" };

/** The maximum bytes of bodies and the maximum events of a request. */
const REQUEST_BYTES = 5_000_000;
const MAX_EVENTS = 1_000;

const CONNECTIONS = 8;

/** The devices are random: after twice as many events as devices, 86 % of the devices have had an event. */
const fleet = (total) => {
  const connections = Math.min(total, CONNECTIONS);
  const devices = Math.ceil(total / connections);
  return {
    at: total,
    load: { events: MAX_EVENTS, connections, devices },
    fill: Math.ceil((2 * devices) / MAX_EVENTS),
  };
};

const sized = (bytes) => {
  const events = Math.max(1, Math.min(MAX_EVENTS, Math.floor(REQUEST_BYTES / bytes)));
  return { at: bytes, load: { events, bodyBytes: bytes } };
};

const mixed = (description, large, cores, base) => ({
  at: large ?? 0,
  description,
  cores,
  base,
  // The large batches have their own connection; there are always seven with small batches.
  load: large ? { events: 100, connections: 8, largeBody: large } : { events: 100, connections: 7 },
});

/** `cost` is the compared figure: of each point with the first one, or with the one at the index `base`. */
const CURVES = [
  {
    name: "batch",
    description: "Events per batch; 8 batches in flight",
    unit: "events",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 10, 100, 1_000, 10_000].map((events) => ({ at: events, load: { events } })),
  },
  {
    // With few devices, many events of a batch share a write; from 8,000 devices on, hardly any do.
    name: "devices-sqlite",
    description: "Devices in total; batches of 1,000, documents in SQLite, a cache of 64 MiB",
    unit: "devices",
    cost: "nsPerEvent",
    settings: SQLITE,
    points: [1, 1_000, 8_000, 100_000, 1_000_000].map(fleet),
  },
  {
    // The cost without a store on disk; the memory is the store's.
    name: "devices-memory",
    description: "Devices in total; batches of 1,000, documents in memory",
    unit: "devices",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 1_000, 8_000, 100_000, 1_000_000].map(fleet),
  },
  {
    name: "partitions",
    description: "Batches of 100 events in flight, each of another partition",
    unit: "partitions",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [1, 2, 4, 8, 16, 32, 64].map((connections) => ({ at: connections, load: { events: 100, connections } })),
  },
  {
    name: "body",
    description: "Bytes of an event's body; at most 1,000 events and 5 MB per batch",
    unit: "bytes",
    cost: "nsPerByte",
    // Without padding a body has slightly less than 300 bytes.
    settings: MEMORY,
    points: [300, 1_000, 10_000, 100_000, 1_000_000].map(sized),
  },
  {
    name: "hot",
    description: "One hot device: batches of 1,000 events of few devices; one partition",
    unit: "devices",
    cost: "nsPerEvent",
    settings: MEMORY,
    points: [100, 1].map((devices) => ({ at: devices, load: { events: 1_000, connections: 1, devices } })),
  },
  {
    name: "large",
    description: "Batches of one event of 1 MB, next to seven partitions with batches of 100 small events",
    unit: "bytes",
    cost: "p99Ms",
    settings: MEMORY,
    points: [
      mixed("small only, one core"),
      mixed("with large, one core", 1_000_000),
      mixed("small only, two cores", undefined, "0,1", 2),
      mixed("with large, two cores", 1_000_000, "0,1", 2),
    ],
  },
  {
    name: "kinds",
    description: "Kinds of events: batches of 100 with the same readings; records in an event",
    unit: "kind",
    cost: "nsPerRecord",
    settings: MEMORY,
    points: KINDS,
  },
  {
    name: "reads",
    description: "Reads of devices and of lists of 100 per second, beside batches of 100 events; documents in SQLite",
    unit: "reads/s",
    cost: "nsPerEvent",
    settings: SQLITE,
    points: [0, 10, 100, 1_000].map((reads) => ({ at: reads, reads, load: { events: 100 } })),
  },
];

module.exports = { CURVES };
