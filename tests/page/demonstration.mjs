// A fleet for pictures of the page: drones around Trondheim, some of them silent, and a run with a few dead letters.

import { Mock, device } from "./mock.mjs";

const MINUTE = 60_000;
const SECOND = 1000;
const MODES = ["inflight", "hold", "landed"];

function fleet() {
  return Array.from({ length: 240 }, (_, index) => {
    const silentFor = index % 23 === 7 ? (20 + index) * MINUTE : (index % 50) * SECOND;
    const readings = {
      battery: ((index * 37) % 100) / 100,
      flightMode: MODES[index % 3],
      "position.latitude": 63.4 + Math.sin(index) * 0.3,
      "position.longitude": 10.4 + Math.cos(index * 1.7) * 0.6,
      "position.altitude": 60 + (index % 40) * 1.37,
    };
    if (index % 5 === 0) readings["motor.temperature"] = 40 + (index % 30);
    return device(`drone-${String(index).padStart(3, "0")}`, readings, silentFor);
  });
}

function details({ id, heardMs, readings }) {
  const entries = Object.entries(readings).map(([name, value], index) => {
    const history =
      typeof value === "number"
        ? Array.from({ length: 90 }, (_, at) => [
            heardMs - (90 - at) * SECOND,
            value * (1 + 0.1 * Math.sin(at / 9 + index)),
          ])
        : [];
    return {
      name,
      value,
      timeMs: heardMs - index * SECOND,
      sequenceNumber: 1204 + index,
      partition: "3",
      source: 6,
      history,
    };
  });
  const letter = {
    id: "193d2b8f",
    insertedMs: heardMs - 9 * MINUTE,
    issue: "the flight mode 99 is not known",
    errorClass: "invalidTelemetry",
    stage: "decode",
    sequenceNumber: 1188,
    partition: "3",
    command: "devicestate dead-letters show 193d2b8f --state state.db",
  };
  return { id, heardMs, readings: entries, deadLetters: [letter], deadLetterCount: 1 };
}

function figures(second) {
  const sum = (rate) => Array.from({ length: second }, (_, at) => rate(at)).reduce((total, value) => total + value, 0);
  const wave = (at, height, offset = 0) => height * (1 + 0.3 * Math.sin(at / 7 + offset));
  return {
    received: Math.round(sum((at) => wave(at, 240))),
    processed: Math.round(sum((at) => (at === 0 ? 0 : wave(at - 1, 240)))),
    applied: 200 * second,
    superseded: 36 * second,
    deadLettered: 14,
    unrecognized: 0,
    ignored: 3,
    batches: 12 * second,
    failedAttempts: Math.floor(second / 25) * 3,
    handlerRestarts: 1,
    reads: Math.round(sum((at) => wave(at, 40, 1))),
    writes: Math.round(sum((at) => wave(at, 210))),
    conflicts: Math.floor(second / 6),
    requestUnits: sum((at) => wave(at, 2400)),
    partitions: [0, 1, 2, 3].map((partition) => ({
      partition: String(partition),
      waiting: Math.round(wave(second, 20, partition)),
      lagMs: Math.round(wave(second, 400, partition)),
    })),
  };
}

/** Returns a mock with this fleet; `sendFigures` sends the figures of the last two minutes. */
export function demonstration() {
  const mock = new Mock(fleet());
  const replay = (issue) => `devicestate dead-letters replay --issue '${issue}' --state state.db`;
  const group = (issue, errorClass, stage, count, devices) => ({
    issue,
    errorClass,
    stage,
    count,
    devices,
    oldestMs: Date.now() - count * 5 * MINUTE,
    command: replay(issue),
  });
  mock.deadLetters = {
    total: 14,
    examined: 14,
    groups: [
      group("the flight mode 99 is not known", "invalidTelemetry", "decode", 12, [
        "drone-004",
        "drone-019",
        "drone-033",
      ]),
      group("the document has more readings than MaxReadings", "rejected", "update", 2, ["drone-120"]),
    ],
  };
  mock.details = details;
  mock.sendFigures = () => {
    const now = Date.now();
    for (let second = 0; second <= 120; second += 1)
      mock.send("figures", { ...figures(second), nowMs: now - (120 - second) * SECOND });
  };
  return mock;
}
