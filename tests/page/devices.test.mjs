// The table of devices, with generated devices.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ids, row, until, withBrowser, withPage } from "./browser.mjs";
import { Mock, device } from "./mock.mjs";

withBrowser();

const MINUTE = 60_000;

/** Runs a test with a page of these devices. */
async function withDevices(devices, body, options) {
  const mock = new Mock(devices);
  Object.assign(mock.info, options?.info);
  try {
    await withPage(await mock.start(), (page) => body(page, mock), options);
  } finally {
    await mock.stop();
  }
}

const FLEET = [
  device("drone-1", { battery: 0.9, model: "a" }),
  device("drone-2", { battery: 0.1, model: "b" }),
  device("pump-1", { battery: 0.5, pressure: 3 }),
];

test("a changed reading is shown and marked without a reload", () =>
  withDevices(FLEET, async (page, mock) => {
    await row(page, "drone-1").getByText("0.9").waitFor();
    mock.change(device("drone-1", { battery: 0.8, model: "a" }));
    const marked = row(page, "drone-1").locator(".changed-a, .changed-b");
    await marked.getByText("0.8").waitFor();
    const model = row(page, "drone-1").locator(".cell").filter({ hasText: /^a$/ });
    assert.deepEqual([await model.count(), await model.and(marked).count()], [1, 0]);
    // Without motion, the mark is a line.
    await page.emulateMedia({ reducedMotion: "reduce" });
    mock.change(device("drone-1", { battery: 0.7, model: "a" }));
    await until(page, () => {
      const cell = document.querySelector(".changed-a, .changed-b");
      const { animationName, boxShadow } = cell ? getComputedStyle(cell) : {};
      return cell?.textContent === "0.7" && animationName === "none" && boxShadow !== "none";
    });
  }));

test("a new device appears, and a deleted one disappears", () =>
  withDevices(FLEET, async (page, mock) => {
    await row(page, "pump-1").waitFor();
    mock.change(device("drone-0", { battery: 1 }));
    await row(page, "drone-0").waitFor();
    mock.devices.delete("pump-1");
    mock.send("changes", { total: 3, devices: [], removed: ["pump-1"] });
    await row(page, "pump-1").waitFor({ state: "detached" });
    assert.deepEqual(await ids(page), ["drone-0", "drone-1", "drone-2"]);
  }));

test("the age of a device grows without an event", () =>
  withDevices([device("drone-1", {}, 50_000)], async (page) => {
    const cell = row(page, "drone-1").getByText(/^\d+ s ago$/);
    const before = await cell.textContent();
    await cell.and(page.getByText(before, { exact: true })).waitFor({ state: "detached" });
    assert.ok(Number.parseInt(await cell.textContent(), 10) > Number.parseInt(before, 10));
  }));

test("a filter selects devices, and a wrong one is explained at its character", () =>
  withDevices(
    FLEET,
    async (page) => {
      await row(page, "drone-1").waitFor();
      await page.getByLabel("Filter by readings").fill("battery < 0.6");
      await page.keyboard.press("Enter");
      await row(page, "drone-1").waitFor({ state: "detached" });
      assert.deepEqual(await ids(page), ["drone-2", "pump-1"]);
      await page.getByText("2 of 2 devices that match battery < 0.6").waitFor();
      await page.getByLabel("Filter by readings").fill("battery ~ 1");
      await page.getByRole("button", { name: "Apply" }).click();
      await page.getByRole("alert").getByText("expected a value").waitFor();
      assert.equal(await page.locator(".position mark").textContent(), "~");
      // The filter before is still applied.
      assert.deepEqual(await ids(page), ["drone-2", "pump-1"]);
      await page.getByLabel("Filter by readings").fill("");
      await page.keyboard.press("Enter");
      await row(page, "drone-1").waitFor();
      assert.equal(await page.getByRole("alert").textContent(), "");
    },
    { expected: /400/ },
  ));

test("the beginning of an id selects devices", () =>
  withDevices(FLEET, async (page) => {
    await row(page, "drone-1").waitFor();
    await page.getByLabel("Id begins with").fill("pu");
    await row(page, "drone-1").waitFor({ state: "detached" });
    assert.deepEqual(await ids(page), ["pump-1"]);
    assert.match(await page.locator(".devices .summary").textContent(), /^1 of 3 devices/);
  }));

test("the title of a column sorts by its values, and once more reverses the order", () =>
  withDevices(FLEET, async (page, mock) => {
    await row(page, "drone-1").waitFor();
    const title = page.getByRole("columnheader", { name: "battery" });
    await title.getByRole("button").click();
    assert.equal(await title.getAttribute("aria-sort"), "ascending");
    assert.deepEqual(await ids(page), ["drone-2", "pump-1", "drone-1"]);
    await page.keyboard.press("Enter");
    assert.equal(await title.getAttribute("aria-sort"), "descending");
    assert.deepEqual(await ids(page), ["drone-1", "pump-1", "drone-2"]);
    mock.change(device("drone-2", { battery: 0.95 }));
    await until(
      page,
      () =>
        [...document.querySelectorAll(".devices .row")].find((one) => one.ariaRowIndex === "2").firstChild
          .textContent === "drone-2",
    );
    await page.getByRole("columnheader", { name: "pressure" }).getByRole("button").click();
    assert.equal((await ids(page))[0], "pump-1", "devices without the reading are last");
  }));

test("chosen columns are shown", () =>
  withDevices(FLEET, async (page) => {
    await row(page, "drone-1").waitFor();
    await page.getByText("Columns").click();
    await page.getByLabel("pressure").uncheck();
    await page.getByRole("columnheader", { name: "pressure" }).waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await page.getByLabel("battery").waitFor({ state: "hidden" });
    await page.reload();
    await row(page, "drone-1").waitFor();
    assert.equal(await page.getByRole("columnheader", { name: "battery" }).count(), 1);
    assert.equal(await page.getByRole("columnheader", { name: "pressure" }).count(), 0);
  }));

test("the table works by keys alone", () =>
  withDevices(
    Array.from({ length: 200 }, (_, index) => device(`drone-${String(index).padStart(3, "0")}`, { battery: 0.5 })),
    async (page) => {
      await row(page, "drone-000").waitFor();
      const active = () =>
        page.evaluate(
          () =>
            document.getElementById(document.activeElement.getAttribute("aria-activedescendant"))?.firstChild
              .textContent,
        );
      for (
        let presses = 0;
        (await page.evaluate(() => document.activeElement.getAttribute("role"))) !== "grid";
        presses += 1
      ) {
        assert.ok(presses < 20, "the tab key reaches the table");
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("ArrowDown");
      assert.equal(await active(), "drone-001");
      await page.keyboard.press("End");
      assert.equal(await active(), "drone-199");
      await page.keyboard.press("PageUp");
      await page.keyboard.press("Home");
      assert.equal(await active(), "drone-000");
      // On a small screen, the device replaces the table.
      await page.setViewportSize({ width: 400, height: 800 });
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "drone-000" }).waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("heading", { name: "drone-000" }).waitFor({ state: "hidden" });
      assert.equal(await active(), "drone-000");
    },
  ));

test("silent devices are gray, have the word silent, and can be selected", () =>
  withDevices(
    [...FLEET, device("drone-3", {}, 20 * MINUTE), device("drone-4", {}, 2 * MINUTE, { silentSinceMs: Date.now() })],
    async (page) => {
      await row(page, "drone-3").getByText("silent, 20 min ago").waitFor();
      await row(page, "drone-4").getByText("silent, 2 min ago").waitFor();
      const color = (id) => row(page, id).evaluate((one) => getComputedStyle(one).color);
      assert.notEqual(await color("drone-3"), await color("drone-1"));
      await page.getByLabel("Only silent devices").check();
      await row(page, "drone-1").waitFor({ state: "detached" });
      assert.deepEqual(await ids(page), ["drone-3", "drone-4"]);
      await page.getByLabel("Silent after").selectOption("1 h");
      await row(page, "drone-3").waitFor({ state: "detached" });
      assert.deepEqual(await ids(page), ["drone-4"], "the mark of the silence watch stays");
    },
  ));

test("ids and readings that are markup are shown as text", () => {
  const text = "<img src=x onerror=document.title='run'>";
  return withDevices([device(text, { [text]: text, [`${text}2`]: { deep: [text] } })], async (page) => {
    await row(page, text).waitFor();
    await row(page, text).click();
    await page.getByRole("heading", { name: text }).waitFor();
    assert.equal(await page.locator("img").count(), 0);
    assert.equal(await page.title(), `${text} · devicestate`);
  });
});

test("an empty fleet shows the command that sends the first event", () => {
  const listen = "http://127.0.0.1:1/telemetry/messages";
  return withDevices(
    [],
    async (page, mock) => {
      await page.getByRole("heading", { name: "No device yet" }).waitFor();
      await page.getByRole("button", { name: "Copy the command" }).click();
      await page.getByText("Copied").waitFor();
      const copied = await page.evaluate(() => navigator.clipboard.readText());
      assert.ok(copied.startsWith(`curl -X POST '${listen}'`), copied);
      mock.change(device("my-device", { battery: 0.9 }));
      await row(page, "my-device").waitFor();
    },
    { info: { listen } },
  );
});

test("a wrong token is refused, and the printed address is accepted instead", async () => {
  const mock = new Mock(FLEET);
  const address = await mock.start();
  await withPage(
    `${mock.origin}/?token=wrong`,
    async (page) => {
      await page.getByRole("heading", { name: "This page needs its token" }).waitFor();
      await page.getByLabel("Address or token").fill(address);
      await page.keyboard.press("Enter");
      await row(page, "drone-1").waitFor();
      assert.ok(!(await page.evaluate(() => location.href)).includes("token"), "the token is not in the address");
    },
    { expected: /401/ },
  );
  await mock.stop();
});

test("a lost connection is shown, and the page continues when the program is back", () =>
  withDevices(
    FLEET,
    async (page, mock) => {
      await page.getByRole("status").getByText("Live", { exact: true }).waitFor();
      mock.isDown = true;
      for (const connection of mock.connections) connection.destroy();
      await page.getByText("Reconnecting").waitFor();
      await row(page, "drone-1").waitFor();
      mock.devices.set("drone-9", device("drone-9", {}));
      mock.isDown = false;
      await row(page, "drone-9").waitFor();
      await page.getByRole("status").getByText("Live", { exact: true }).waitFor();
    },
    { expected: /Failed to load resource|net::ERR/ },
  ));
