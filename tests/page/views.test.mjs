// One device, the map, the run and the dead letters, with generated data.

import assert from "node:assert/strict";
import { test } from "node:test";
import { coordinateNames } from "../../crates/live/assets/coordinates.js";
import { ids, row, until, withBrowser, withPage } from "./browser.mjs";
import { Mock, device } from "./mock.mjs";

withBrowser();

const FIGURES = {
  received: 100,
  processed: 90,
  applied: 80,
  superseded: 6,
  deadLettered: 3,
  unrecognized: 1,
  ignored: 0,
  batches: 12,
  failedAttempts: 2,
  handlerRestarts: 1,
  reads: 40,
  writes: 81,
  conflicts: 1,
  requestUnits: 812.5,
  partitions: [
    { partition: "0", waiting: 7, lagMs: 250 },
    { partition: "1", waiting: 0, lagMs: 0 },
  ],
};

async function withMock(devices, body, path = "") {
  const mock = new Mock(devices);
  try {
    await withPage((await mock.start()) + path, (page) => body(page, mock));
  } finally {
    await mock.stop();
  }
}

test("a device shows each reading with its origin, its history and its dead letters", () =>
  withMock([device("a/b %#?", { battery: 0.5, mode: "hold" })], async (page, mock) => {
    const letter = {
      id: "193d2b8f",
      insertedMs: Date.now(),
      issue: "mode 99 is not known",
      errorClass: "invalid",
      stage: "decode",
      sequenceNumber: 88,
      partition: "3",
      command: "devicestate dead-letters show 193d2b8f",
    };
    const history = [
      [Date.now() - 2000, 0.7],
      [Date.now() - 1000, 0.6],
      [Date.now(), 0.5],
    ];
    const battery = {
      name: "battery",
      value: 0.5,
      timeMs: Date.now() - 90_000,
      sequenceNumber: 4711,
      partition: "3",
      source: 6,
      history,
    };
    const mode = {
      name: "mode",
      value: "hold",
      timeMs: Date.now(),
      sequenceNumber: 4712,
      partition: null,
      source: 0,
      history: [],
    };
    const readings = [battery, mode];
    mock.details = ({ id, heardMs }) => ({ id, heardMs, readings, deadLetters: [letter], deadLetterCount: 1 });
    await row(page, "a/b %#?").click();
    const line = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: "battery" }) });
    await line.getByText("4711").waitFor();
    assert.deepEqual((await line.getByRole("cell").allTextContents()).slice(0, 4), ["0.5", "1 min ago", "4711", "3"]);
    await line.getByRole("button", { name: "Chart of battery: 3 values, from 0.5 to 0.7" }).click();
    await page.locator(".panel .chart canvas").waitFor();
    assert.match(
      await page.locator(".letters").textContent(),
      /mode 99 is not known.*partition 3.*devicestate dead-letters show 193d2b8f/,
    );
    // The address opens the same device again.
    assert.equal(await page.evaluate(() => location.hash), "#/device/a%2Fb%20%25%23%3F");
    await page.reload();
    await page.getByRole("heading", { name: "a/b %#?" }).waitFor();
    await line.getByText("4711").waitFor();
  }));

test("a device whose events are all dead letters shows them", () =>
  withMock([device("meter-9", {})], async (page, mock) => {
    const letter = { id: "1", insertedMs: Date.now(), issue: "the body is not valid JSON" };
    mock.details = ({ id }) => ({ id, heardMs: null, readings: [], deadLetters: [letter], deadLetterCount: 30 });
    await row(page, "meter-9").click();
    await page.getByText("None of its events could be stored: see its dead letters.").waitFor();
    await page.getByText("30 dead letters, of which the first 1").waitFor();
    await page.getByText("the body is not valid JSON").waitFor();
    assert.equal(await page.getByRole("group", { name: "Readings" }).isVisible(), false);
  }));

test("a device that does not exist is reported as such", async () => {
  const mock = new Mock([device("drone-1", {})]);
  const address = `${await mock.start()}#/device/drone-9`;
  await withPage(address, (page) => page.getByText("There is not a device with this id.").waitFor(), {
    expected: /404/,
  });
  await mock.stop();
});

test("the map has a point for each device with coordinates, and a point opens its device", () =>
  withMock(
    [
      device("drone-1", { "position.latitude": 63.4, "position.longitude": 10.4 }),
      device("drone-2", { "position.latitude": 59.9, "position.longitude": 10.7 }, 3_600_000),
      device("drone-3", { battery: 1 }),
      device("drone-4", { "position.latitude": 95, "position.longitude": 10.7 }),
    ],
    async (page, mock) => {
      await page.getByRole("link", { name: "Map" }).click();
      await until(page, () => document.querySelector("canvas[data-points]")?.dataset.points === "2");
      assert.deepEqual(await ids(page, ".map-view"), ["drone-1", "drone-2"]);
      assert.match(await page.locator(".map-view .summary").textContent(), /^2 of 4 devices/);
      mock.change(device("drone-3", { lat: 61, lng: 9 }));
      await until(page, () => document.querySelector("canvas[data-points]").dataset.points === "3");
      // To fit, the first device is at the top and the second at the bottom, in the middle of a margin of 12 %.
      const { width, height } = await page.locator(".map canvas").boundingBox();
      const seen = new Set();
      for (let y = Math.round(height * 0.12) - 4; y < height * 0.14 && seen.size === 0; y += 4) {
        for (let x = 0; x < width && seen.size === 0; x += 8) {
          await page.locator(".map canvas").hover({ position: { x, y } });
          const tip = page.locator(".tip");
          if (await tip.isVisible())
            (seen.add(await tip.textContent()), await page.locator(".map canvas").click({ position: { x, y } }));
        }
      }
      assert.match([...seen][0], /^drone-1 · /);
      await page.getByRole("heading", { name: "drone-1" }).waitFor();
    },
  ));

test("the map can be moved by keys, and its table opens a device", () =>
  withMock([device("drone-1", { lat: 63.4, lon: 10.4 }), device("drone-2", { lat: 59.9, lon: 10.7 })], async (page) => {
    await page.getByRole("link", { name: "Map" }).click();
    const canvas = page.getByRole("img", { name: /^Map with 2 devices/ });
    const picture = () => canvas.evaluate((one) => one.toDataURL());
    await until(page, () => document.querySelector("canvas[data-points]")?.dataset.points === "2");
    const pictures = new Set([await picture()]);
    for (const key of ["+", "ArrowLeft", "-"]) {
      await canvas.press(key);
      pictures.add(await picture());
    }
    assert.equal(pictures.size, 4);
    await page.getByRole("grid", { name: "Devices on the map" }).press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.locator(".panel h2").getByText("drone-").waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => location.hash), "#/map");
  }));

test("without coordinates there is not a map", () =>
  withMock([device("drone-1", { latitude: 63.4, flat: 1, flon: 2 })], async (page) => {
    await row(page, "drone-1").waitFor();
    assert.equal(await page.getByRole("link", { name: "Map" }).count(), 0);
  }));

test("coordinates are found by the names of readings", () => {
  const pairs = (...names) => coordinateNames(names).map(({ latitude, longitude }) => [latitude, longitude]);
  assert.deepEqual(pairs("lat", "lng"), [["lat", "lng"]]);
  assert.deepEqual(pairs("Latitude", "Longitude", "speed"), [["Latitude", "Longitude"]]);
  assert.deepEqual(pairs("home.lat", "home.lon", "position.latitude", "position.longitude"), [
    ["home.lat", "home.lon"],
    ["position.latitude", "position.longitude"],
  ]);
  assert.deepEqual(pairs("homeLat", "homeLon"), [["homeLat", "homeLon"]]);
  assert.deepEqual(pairs("gps_lat", "gps_long"), [["gps_lat", "gps_long"]]);
  assert.deepEqual(pairs("lat", "longitude"), []);
  assert.deepEqual(pairs("flat", "flon"), []);
});

test("the run shows its figures, rates and the lag of each partition", () =>
  withMock([device("drone-1", {})], async (page, mock) => {
    await page.getByRole("link", { name: "Run" }).click();
    await page.getByText("The first figures arrive within a second.").waitFor();
    const now = Date.now();
    mock.send("figures", { ...FIGURES, nowMs: now });
    mock.send("figures", { ...FIGURES, received: 350, processed: 300, nowMs: now + 2000 });
    const chart = page.locator(".chart").filter({ has: page.getByRole("heading", { name: "Events per second" }) });
    await chart.getByText("received 125").waitFor();
    await chart.getByText("processed 105").waitFor();
    await chart.locator("canvas").waitFor();
    assert.deepEqual((await page.locator(".partitions tbody tr").allTextContents()).sort(), ["07250 ms", "10none"]);
    assert.match(await page.locator("header.page dl").textContent(), /Processed300.*Events\/s105/);
  }));

test("dead letters are grouped by issue, with their devices and the command that repairs them", () =>
  withMock([device("drone-1", {})], async (page, mock) => {
    await page.getByRole("link", { name: "Dead letters" }).click();
    await page.getByText("No dead letters").waitFor();
    const command = "devicestate dead-letters replay --issue 'mode 99'\\''s' --yes";
    mock.send("deadLetters", {
      total: 3,
      examined: 3,
      groups: [
        {
          issue: "mode 99's",
          errorClass: "invalid",
          stage: "decode",
          count: 3,
          devices: ["drone-1", "a/b"],
          oldestMs: Date.now() - 150_000,
          command,
        },
      ],
    });
    await page.getByRole("heading", { name: "3 events mode 99's" }).waitFor();
    assert.match(await page.locator(".groups .details").textContent(), /decode · invalid · oldest 2 min ago/);
    assert.equal(await page.getByRole("link", { name: "a/b" }).getAttribute("href"), "#/device/a%2Fb");
    await page.getByRole("button", { name: "Copy the command that repairs them" }).click();
    await page.getByText("Copied").waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  }));

test("a problem of the store is shown until it is over", () =>
  withMock([device("drone-1", {})], async (page, mock) => {
    await page.getByRole("status").getByText("Live", { exact: true }).waitFor();
    mock.send("problem", { message: "the store cannot be read" });
    await page.getByText("Problem the store cannot be read").waitFor();
    mock.send("problem", { message: null });
    await page.getByRole("status").getByText("Live", { exact: true }).waitFor();
  }));
