// The page with the program: events by HTTP, the store, the server, the browser.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { row, until, withBrowser, withPage } from "./browser.mjs";
import { Program, folder, shell } from "./program.mjs";

withBrowser();

let workspace;
let program;
let events;

before(async () => {
  workspace = folder();
  program = await Program.start(["local", "--listen", "0", "--ui", "0", "--state", workspace.state]);
});
after(async () => {
  await program.end();
  workspace.remove();
});

/** Sends an event to the hub. */
async function send(event) {
  const { status } = await fetch(events, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof event === "string" ? event : JSON.stringify(event),
  });
  assert.equal(status, 201);
}

test("the command of the empty page sends the first device, which appears", () =>
  withPage(program.address, async (page) => {
    const command = await page.locator(".empty code").textContent();
    events = /'(http[^']+)'/.exec(command)[1];
    await shell(command);
    await row(page, "my-device").getByText("0.9").waitFor();
    assert.ok(!(await page.evaluate(() => location.href)).includes("token"));
  }));

test("events are seen as changes, on the map, in the figures of the run and in the history of the device", () =>
  withPage(program.address, async (page) => {
    await row(page, "my-device").waitFor();
    await send({ deviceId: "other", battery: 0.1, position: { latitude: 59.9, longitude: 10.7 } });
    await row(page, "other").waitFor();
    await send({ deviceId: "my-device", battery: 0.8 });
    await row(page, "my-device").getByText("0.8").waitFor();
    await send({ deviceId: "my-device", battery: 0.7 });
    await row(page, "my-device").getByText("0.7").waitFor();
    await page.getByRole("link", { name: "Map" }).click();
    await until(page, () => document.querySelector("canvas[data-points]")?.dataset.points === "2");
    await page.getByRole("link", { name: "Run" }).click();
    await page
      .locator(".totals div")
      .filter({ hasText: /^Processed4$/ })
      .waitFor();
    await page.getByRole("link", { name: "Devices" }).click();
    await row(page, "my-device").click();
    const battery = page.locator(".panel tbody tr").filter({ has: page.getByRole("rowheader", { name: "battery" }) });
    await battery.getByRole("button", { name: /Chart of battery: 3 values, from 0\.7 to 0\.9/ }).waitFor();
    const [value, , sequenceNumber, partition] = await battery.getByRole("cell").allTextContents();
    assert.equal(value, "0.7");
    assert.match(sequenceNumber, /^\d+$/);
    assert.match(partition, /^\d+$/);
  }));

test("the filter is the language of the read API, with the place of an error", () =>
  withPage(
    program.address,
    async (page) => {
      await row(page, "other").waitFor();
      await page.getByLabel("Filter by readings").fill("battery < 0.2 and exists(`position.latitude`)");
      await page.keyboard.press("Enter");
      await row(page, "my-device").waitFor({ state: "detached" });
      await row(page, "other").waitFor();
      await page.getByLabel("Filter by readings").fill("battery < ");
      await page.keyboard.press("Enter");
      await page.locator(".position mark").waitFor();
      assert.match(await page.getByRole("alert").textContent(), /battery/);
    },
    { expected: /400/ },
  ));

test("an event that cannot be processed is a dead letter with a command that finds it", () =>
  withPage(program.address, async (page) => {
    await send("this is not JSON");
    await page.getByRole("link", { name: "Dead letters" }).click();
    await page.getByRole("heading", { name: /^1 event / }).waitFor();
    const command = await page.locator(".groups code").textContent();
    assert.match(command, /dead-letters /);
    await shell(command);
  }));

test("the page of a stored state is read-only, and shows what the run has left", async () => {
  const viewer = await Program.start(["ui", "--state", workspace.state, "--port", "0"]);
  try {
    await withPage(viewer.address, async (page) => {
      await row(page, "my-device").getByText("0.7").waitFor();
      await page.getByRole("link", { name: "Dead letters" }).getByText("1").waitFor();
      await page.getByText("read-only page").waitFor();
    });
  } finally {
    await viewer.end();
  }
});

test("the page reports that the program has ended, and keeps what it shows", () =>
  withPage(
    program.address,
    async (page) => {
      await row(page, "my-device").waitFor();
      assert.equal(await program.end(), 0);
      await page.getByText("Reconnecting").waitFor();
      await row(page, "my-device").getByText("0.7").waitFor();
    },
    { expected: /ERR_|Failed to load/ },
  ));
