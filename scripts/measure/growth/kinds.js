// The kinds of events that the handler reads, with the same readings of a drone. Each point has its settings, and its files: the
// telemetry file, what it names, and the body of every event if the driver's own does not fit. The device of such a body is the
// partition key.
"use strict";

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { gzipSync } = require("node:zlib");
const { ROOT } = require("../options.js");

const MAPPED = JSON.parse(readFileSync(join(ROOT, "tests/fixtures/telemetry/drone.json"), "utf8"));
delete MAPPED.$schema;

const RECORD = {
  battery: 0.5713,
  flightMode: 3,
  position: { latitude: 47.476075, longitude: -122.192026, altitude: 124.8 },
  health: { gyrometerOK: true, accelerometerOK: true, magnetometerOK: true },
  isKeyFrame: true,
};

const DEVICE = { device: "partitionKey" };

/** Later than every event, so that the time of enqueuing counts, and each event is newer than the one before. */
const TIMED = { ...MAPPED, ...DEVICE, time: { from: "/at", newest: "device" } };

const records = (count) => JSON.stringify(Array(count).fill(RECORD));

/** The id of the schema, which is before the datum as in a body of a schema registry's client. */
const SCHEMA_ID = 7;

const AVRO_SCHEMA = {
  type: "record",
  name: "Drone",
  fields: Object.entries(RECORD).map(([name, value]) => ({ name, type: avroType(name, value) })),
};

function avroType(name, value) {
  if (typeof value !== "object") return { number: Number.isInteger(value) ? "int" : "double", boolean: "boolean" }[typeof value];
  return { type: "record", name, fields: Object.entries(value).map(([name, value]) => ({ name, type: avroType(name, value) })) };
}

/** Returns a value as Avro. Integers are less than 64, so that they take one byte. */
function avro(value) {
  if (typeof value === "object") return Buffer.concat(Object.values(value).map(avro));
  if (typeof value === "boolean") return Buffer.from([value ? 1 : 0]);
  if (Number.isInteger(value)) return Buffer.from([2 * value]);
  const double = Buffer.alloc(8);
  double.writeDoubleLE(value);
  return double;
}

const kind = (description, records, settings, telemetry, body, more) => ({
  at: records,
  description,
  records,
  settings,
  load: { events: 100 },
  files: {
    ...(telemetry && { "telemetry.json": JSON.stringify(telemetry) }),
    ...(body && { body }),
    ...more,
  },
});

const JSON_EVENTS = { Telemetry: "json" };

const KINDS = [
  kind("drone JSON", 1, { Telemetry: "drone" }),
  kind("any JSON", 1, JSON_EVENTS),
  kind("mapped JSON", 1, JSON_EVENTS, MAPPED),
  kind("mapped, device time", 1, JSON_EVENTS, TIMED, JSON.stringify({ ...RECORD, at: "2999-01-01T00:00:00Z" })),
  kind("gzip of JSON", 1, JSON_EVENTS, DEVICE, gzipSync(JSON.stringify(RECORD))),
  kind(
    "Avro",
    1,
    JSON_EVENTS,
    { ...DEVICE, avro: { ids: { [SCHEMA_ID]: "drone.avsc" } } },
    Buffer.concat([Buffer.from([0, 0, 0, 0, SCHEMA_ID]), avro(RECORD)]),
    { "drone.avsc": JSON.stringify(AVRO_SCHEMA) },
  ),
  kind("8 records of JSON", 8, JSON_EVENTS, DEVICE, records(8)),
  kind("50 records of JSON", 50, JSON_EVENTS, DEVICE, records(50)),
];

module.exports = { KINDS };
