// The browser of the tests: Chromium, or Chrome. scripts/test/page sets which.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** scripts/test/page installs the packages and sets where. */
export const installed = createRequire(join(process.env.PAGE_TEST_PACKAGES ?? ROOT, "package.json"));

const TIMEOUT_MS = 10_000;
let browser;

/** Starts one browser for the tests of a file. */
export function withBrowser() {
  before(async () => {
    const { chromium } = installed("playwright-core");
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  });
  after(() => browser.close());
}

/**
 * Opens an address and runs `test` with the page. Then no request has left the page's origin, and the console has no error,
 * except the expected ones.
 */
export async function withPage(address, test, { expected = /^$/, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  const [problems, foreign] = [[], []];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(error.stack));
  page.on(
    "request",
    (request) => new URL(request.url()).origin !== new URL(address).origin && foreign.push(request.url()),
  );
  try {
    await page.goto(address);
    await test(page);
    assert.deepEqual(
      problems.filter((text) => !expected.test(text)),
      [],
    );
    assert.deepEqual(foreign, []);
  } finally {
    await context.close();
  }
}

/** Returns the row of a device in the table. */
export const row = (page, id) =>
  page.locator("section.devices .row").filter({ has: page.getByRole("gridcell", { name: id, exact: true }) });

/** Returns the ids of the visible rows from top to bottom. */
export const ids = (page, view = ".devices") =>
  page.evaluate((selector) => {
    const rows = [...document.querySelectorAll(`${selector} .row:not([hidden])`)];
    return rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((one) => one.firstChild.textContent);
  }, view);

/** Waits until a function of the page returns true. */
export const until = (page, condition, argument) => page.waitForFunction(condition, argument, { timeout: TIMEOUT_MS });
