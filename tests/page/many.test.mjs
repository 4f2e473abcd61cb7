// 10,000 devices with 1,000 changes a second: the page draws less often, but loses nothing.

import assert from "node:assert/strict";
import { setTimeout as passed } from "node:timers/promises";
import { test } from "node:test";
import { row, until, withBrowser, withPage } from "./browser.mjs";
import { FRAME_MS, Mock, device } from "./mock.mjs";

withBrowser();

const DEVICES = 10_000;
const CHANGES_PER_FRAME = 250;
const FRAMES = 16;
/** Visible rows of the table at this height, with those outside that it prepares. */
const MAX_ROWS = 60;

const id = (index) => `device-${String(index).padStart(5, "0")}`;
const create = (index, count) =>
  device(id(index), { count, battery: (index % 100) / 100, lat: 40 + (index % 200) / 10, lon: (index * 7) % 90 });

/** Counts in the page how often the table is drawn, what is written, and long tasks. */
function observe() {
  globalThis.counts = { draws: 0, writes: 0, longTasks: 0 };
  new MutationObserver((changes) => {
    counts.draws += 1;
    counts.writes += changes.length;
  }).observe(document.querySelector(".devices .body"), { childList: true, characterData: true, subtree: true });
  new PerformanceObserver((list) => (counts.longTasks += list.getEntries().length)).observe({ type: "longtask" });
}

/** Scrolls through the table, and returns the text of the column `count` for each device. */
async function readAll() {
  const grid = document.querySelector(".devices .grid");
  const titles = [...grid.querySelectorAll("[role=columnheader]")].map(
    (one) => one.querySelector(".title").textContent,
  );
  const column = titles.indexOf("count");
  const seen = {};
  for (grid.scrollTop = 0; ; grid.scrollTop += grid.clientHeight) {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    for (const one of grid.querySelectorAll(".row:not([hidden])"))
      seen[one.children[0].textContent] = one.children[column].textContent;
    if (grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1) return seen;
  }
}

async function withFleet(body, viewport) {
  const mock = new Mock(Array.from({ length: DEVICES }, (_, index) => create(index, 0)));
  try {
    await withPage(
      await mock.start(),
      async (page) => {
        await row(page, id(0)).waitFor();
        await page.getByText("10,000 of 10,000 devices").waitFor();
        await page.evaluate(observe);
        await body(page, mock);
      },
      { viewport },
    );
  } finally {
    await mock.stop();
  }
}

test("10,000 devices with 1,000 changes a second show their last state right after, and keys work meanwhile", () =>
  withFleet(
    async (page, mock) => {
      const counts = new Array(DEVICES).fill(0);
      await page.getByRole("columnheader", { name: "battery" }).getByRole("button").click();
      await page.getByRole("grid", { name: "Devices" }).focus();
      for (let frame = 1; frame <= FRAMES; frame += 1) {
        const next = passed(FRAME_MS);
        const changed = Array.from({ length: CHANGES_PER_FRAME }, (_, index) => (frame * 997 + index * 31) % DEVICES);
        for (const index of changed) counts[index] += 1;
        mock.change(...changed.map((index) => create(index, counts[index])));
        await page.keyboard.press("ArrowDown");
        await next;
      }
      mock.change(create(DEVICES, -1));
      await page.getByText("10,001 of 10,001 devices").waitFor();
      const { draws, writes, longTasks } = await page.evaluate(() => globalThis.counts);
      console.log(`page: ${FRAMES} frames, ${draws} draws, ${writes} written texts, ${longTasks} long tasks`);
      assert.ok((await page.locator(".devices .row").count()) <= MAX_ROWS, "only visible rows have elements");
      assert.ok(longTasks <= FRAMES, `${longTasks} long tasks`);
      // Each draw writes at most the cells of the visible rows.
      assert.ok(writes <= draws * MAX_ROWS * 6, `${writes} written texts in ${draws} draws`);
      const active = await page.evaluate(
        () => document.getElementById(document.activeElement.getAttribute("aria-activedescendant")).ariaRowIndex,
      );
      assert.equal(Number(active), FRAMES + 1, "each key moved the active row, the first one to the first row");
      const seen = await page.evaluate(readAll);
      assert.equal(Object.keys(seen).length, DEVICES + 1);
      const wrong = counts
        .map((count, index) => [id(index), String(count)])
        .filter(([name, count]) => seen[name] !== count);
      assert.deepEqual(wrong, []);
    },
    { width: 1280, height: 1200 },
  ));

test("frames that arrive faster than the page draws are drawn once, and the last one is shown", () =>
  withFleet(async (page, mock) => {
    const frames = 60;
    for (let count = 1; count <= frames; count += 1)
      mock.change(...Array.from({ length: CHANGES_PER_FRAME }, (_, index) => create(index, count)));
    await until(
      page,
      (last) => document.querySelectorAll(".devices .row")[0].textContent.includes(last),
      String(frames),
    );
    const { draws } = await page.evaluate(() => globalThis.counts);
    console.log(`page: ${frames} frames at once, ${draws} draws`);
    assert.ok(draws < frames, `${draws} draws`);
    await page.getByRole("link", { name: "Map" }).click();
    await until(page, () => document.querySelector("canvas[data-points]")?.dataset.points === "10000");
  }));
