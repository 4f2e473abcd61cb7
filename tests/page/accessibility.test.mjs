// Accessibility by axe-core in each view, in light and dark, and the pictures of the page.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ROOT, installed, until, withBrowser, withPage } from "./browser.mjs";
import { demonstration } from "./demonstration.mjs";

withBrowser();

const PICTURES = join(ROOT, "target/page");
const VIEWS = {
  devices: "#/devices",
  device: "#/device/drone-004",
  map: "#/map",
  run: "#/run",
  "dead-letters": "#/dead-letters",
};
// The colors are the same at each size, and the largest size has the elements of the middle one.
const LOOKS = [
  { width: 400, height: 800, colorScheme: "light" },
  { width: 1280, height: 800, colorScheme: "light" },
  { width: 1280, height: 800, colorScheme: "dark" },
  { width: 2000, height: 1100, colorScheme: "dark" },
];
/** At this width and above, only the pictures are made. */
const LARGE = 2000;

let mock;
let address;
before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  mock = demonstration();
  address = await mock.start();
});
after(() => mock.stop());

/** Opens a view and waits until it is complete. */
async function show(page, name) {
  await page.evaluate((hash) => (location.hash = hash), VIEWS[name]);
  if (name === "map")
    await until(page, () => Number(document.querySelector("canvas[data-points]")?.dataset.points) > 0);
  if (name === "device") await page.locator(".panel td.sequence").first().waitFor();
  if (name === "run") {
    mock.sendFigures();
    await page.locator(".run canvas").first().waitFor();
  }
  if (name === "dead-letters") await page.locator(".groups li").first().waitFor();
}

async function faults(page) {
  await page.evaluate(await installed("axe-core").source);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  return serious.map(
    ({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`,
  );
}

for (const { width, height, colorScheme } of LOOKS) {
  const sentence =
    width < LARGE
      ? "no view has a serious accessibility fault or is wider than the page"
      : "no view is wider than the page";
  test(`at ${width} pixels in ${colorScheme}, ${sentence}`, () =>
    withPage(
      address,
      async (page) => {
        await page.locator(".row").first().waitFor();
        for (const name of Object.keys(VIEWS)) {
          await show(page, name);
          if (width < LARGE) assert.deepEqual(await faults(page), [], name);
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
          await page.screenshot({ path: join(PICTURES, `${name}-${width}-${colorScheme}.png`) });
        }
      },
      { viewport: { width, height }, colorScheme },
    ));
}
