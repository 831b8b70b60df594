// The console in Chromium, as a person uses it. Everything is found by its role and name: what a test cannot find, a
// screen reader cannot either.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "../../../clients/js/test/support/browser.js";
import { startServer } from "../../../clients/js/test/support/server.js";

const { default: jsQR } = createRequire(new URL("../../../clients/js/package.json", import.meta.url))("jsqr");

export { launch };

/** The server with the page in it; `CONSOLE_URL` names one that runs already. */
export async function serve() {
  if (process.env.CONSOLE_URL) return { url: process.env.CONSOLE_URL, stop: async () => {} };
  return startServer();
}

let people = 0;
/** An account that nobody else has. */
export function person() {
  people += 1;
  return { email: `person-${process.pid}-${Date.now()}-${people}@example.org`, password: "correct horse battery" };
}

/**
 * A page, with note taken of all that it asks for and complains about.
 * @param {import("playwright-core").BrowserContext} context
 * @param {string} url
 */
export async function openPage(context, url, path = "/") {
  const page = await context.newPage();
  const seen = { requests: [], complaints: [] };
  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("websocket", (socket) => seen.requests.push(socket.url()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) seen.complaints.push(message.text());
  });
  await page.goto(url + path);
  return Object.assign(page, { seen });
}

/** Nothing from elsewhere, nothing on the console. @param {Awaited<ReturnType<typeof openPage>>} page @param {string} url */
export function assertClean(page, url) {
  const host = new URL(url).host;
  const others = page.seen.requests.filter((each) => !each.startsWith("blob:") && new URL(each).host !== host);
  assert.deepEqual(others, []);
  assert.deepEqual(page.seen.complaints, []);
}

/** @param {import("playwright-core").Page} page @param {{ email: string, password: string }} account */
export async function signUp(page, account) {
  await page.getByRole("heading", { name: "Create your account" }).waitFor();
  await fillIn(page, account);
  await page.getByRole("button", { name: "Create account" }).click();
  await live(page);
}

/** @param {import("playwright-core").Page} page @param {{ email: string, password: string }} account */
export async function signIn(page, account) {
  const other = page.getByRole("button", { name: "Sign in", exact: true });
  if (await page.getByRole("heading", { name: "Create your account" }).isVisible()) await other.click();
  await fillIn(page, account);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await live(page);
}

async function fillIn(page, { email, password }) {
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
}

/** @param {import("playwright-core").Page} page */
export async function live(page) {
  await page.locator('.pill[data-kind="live"], .pill[data-kind="resumed"]').waitFor();
}

/** @param {import("playwright-core").Page} page @param {string} name @param {string} [type] */
export async function rename(page, name, type) {
  await page.getByRole("button", { name: "Change name and type of this device" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill(name);
  if (type) await page.getByRole("combobox", { name: "Type" }).selectOption(type);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
}

/** Waits until the picture of the other side moves. @param {import("playwright-core").Page} page @param {number} [frames] */
export async function decodes(page, frames = 10) {
  await page.waitForFunction((wanted) => {
    const videos = [...document.querySelectorAll(".remote-video")];
    return videos.some((video) => video.getVideoPlaybackQuality().totalVideoFrames >= wanted && video.videoWidth > 0);
  }, frames, { timeout: 60_000 });
}

const AXE = new URL("../../../clients/js/node_modules/axe-core/axe.min.js", import.meta.url);
/** What it says of a page that is seen through a dialog is about the dialog's shade. */
const AXE_OPTIONS = { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };

/** The rules of WCAG 2.2 that a program can check, contrast of colours among them. @param {import("playwright-core").Page} page */
async function assertRules(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(await readFile(AXE, "utf8"));
  // What is fading in has no colour yet.
  await still(page);
  const { violations } = await page.evaluate((options) => globalThis.axe.run(document, options), AXE_OPTIONS);
  const said = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary}`).join(" | ")}`);
  assert.deepEqual(said, []);
}

/** Waits until what moves once has arrived; what goes round and round is not waited for. @param {import("playwright-core").Page} page */
export async function still(page) {
  await page.evaluate(async () => {
    await document.fonts.ready;
    const once = () => document.getAnimations().filter((each) => each.playState === "running" && Number.isFinite(each.effect?.getComputedTiming().endTime));
    for (let all = once(); all.length > 0; all = once()) await Promise.allSettled(all.map(({ finished }) => finished));
  });
}

/** What it looks like to a camera: the text of the QR code that is shown. @param {import("playwright-core").Locator} element */
export async function readCode(element) {
  const picture = (await element.screenshot()).toString("base64");
  const { data, width, height } = await element.page().evaluate(async (picture) => {
    const image = new Image();
    image.src = `data:image/png;base64,${picture}`;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return { data: [...context.getImageData(0, 0, image.width, image.height).data], width: image.width, height: image.height };
  }, picture);
  return jsQR(Uint8ClampedArray.from(data), width, height)?.data;
}

/** Goes on with the Tab key until the control of this name has the focus. @param {import("playwright-core").Page} page @param {string} name */
export async function tabTo(page, name) {
  for (let presses = 0; presses < 60; presses += 1) {
    const said = await page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent?.trim());
    if (said === name) return;
    await page.keyboard.press("Tab");
  }
  assert.fail(`The Tab key does not come to "${name}".`);
}

/** Every control has a name, every picture of meaning a text, every field a label, and ids are unique. */
export async function assertAccessible(page) {
  const faults = await page.evaluate(() => {
    const faults = [];
    const shown = (element) => element.checkVisibility?.() ?? true;
    const text = (element) => element.getAttribute("aria-label") || element.getAttribute("title")
      || (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join("").trim() || element.textContent?.trim();
    for (const element of document.querySelectorAll("button, a[href], [role=menuitem], [role=switch], [role=img], dialog, [role=dialog], video:not(.remote-sound)")) {
      if (shown(element) && !text(element)) faults.push(`no name: ${element.outerHTML.slice(0, 120)}`);
    }
    for (const element of document.querySelectorAll("input, select")) {
      if (shown(element) && !element.labels?.length && !element.getAttribute("aria-label")) faults.push(`no label: ${element.outerHTML.slice(0, 120)}`);
    }
    for (const element of document.querySelectorAll("svg")) {
      if (element.getAttribute("aria-hidden") !== "true" && element.getAttribute("role") !== "img" && !element.closest("[aria-hidden=true]")) faults.push("a picture without role");
    }
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`twice: ${id}`);
    if (document.documentElement.lang === "") faults.push("no language");
    if (document.querySelectorAll("h1").length === 0) faults.push("no heading");
    if (document.documentElement.scrollWidth > innerWidth + 1) faults.push(`wider than the window: ${document.documentElement.scrollWidth}`);
    for (const element of document.querySelectorAll("dialog, .call, .panel")) {
      if (element.scrollWidth > element.clientWidth + 1) faults.push(`cut off: ${element.className}`);
    }
    return faults;
  });
  assert.deepEqual(faults, []);
  await assertRules(page);
}

const TARGET = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target", import.meta.url));

/** @param {import("playwright-core").Page} page @param {string} name */
export async function shoot(page, name) {
  await still(page);
  const folder = join(TARGET, "console-screenshots");
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
