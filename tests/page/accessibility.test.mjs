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
const SIZES = [
  [400, 800],
  [1280, 800],
  [2000, 1100],
];

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

for (const colorScheme of ["light", "dark"]) {
  for (const [width, height] of SIZES) {
    test(`at ${width} pixels in ${colorScheme}, no view has a serious accessibility fault or is wider than the page`, () =>
      withPage(
        address,
        async (page) => {
          await page.locator(".row").first().waitFor();
          for (const name of Object.keys(VIEWS)) {
            await show(page, name);
            // At the largest size, the elements are those of the middle one.
            if (width < 2000) assert.deepEqual(await faults(page), [], name);
            const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
            await page.screenshot({ path: join(PICTURES, `${name}-${width}-${colorScheme}.png`) });
          }
        },
        { viewport: { width, height }, colorScheme },
      ));
  }
}
