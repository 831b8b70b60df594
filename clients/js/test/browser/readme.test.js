import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { launch, serveFiles } from "../support/browser.js";
import { person, signedIn } from "../support/client.js";
import { snippet, snippets } from "../support/readme.js";
import { startServer } from "../support/server.js";

/** @type {Awaited<ReturnType<typeof serveFiles>>} */
let files;
/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  files = await serveFiles();
  server = await startServer({ ALLOWED_ORIGINS: files.origin });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  await files?.stop();
});

/**
 * A page that has run a snippet to its end.
 * @param {string} name
 * @param {{ email: string, password: string }} account
 */
async function run(name, account) {
  const context = await browser.newContext({ permissions: ["camera", "microphone"] });
  const page = await context.newPage();
  const importMap = snippets().find(({ language }) => language === "html")?.code.replace("/node_modules/@streamz/client/", "/");
  const given = `const server = ${JSON.stringify(server.url)}; const { email, password } = ${JSON.stringify(account)};`;
  const body = `<!doctype html><title>Streamz</title><link rel="icon" href="data:,">${importMap}<video autoplay muted playsinline></video>
<script type="module">${given}\n${snippet(`page=${name}`)}\nglobalThis.done();</script>`;
  files.pages.set(`/${name}`, body);
  const done = new Promise((resolve, reject) => {
    page.on("pageerror", reject);
    void page.exposeFunction("done", () => resolve(undefined)).then(() => page.goto(`${files.origin}/${name}`)).catch(reject);
  });
  await done;
  return page;
}

/** @param {import("playwright-core").Page} page */
async function shows(page) {
  await page.waitForFunction(() => /** @type {any} */ (document.querySelector("video"))?.getVideoPlaybackQuality().totalVideoFrames > 5);
}

async function account() {
  const account = person();
  await (await signedIn(server.url)).register(account);
  return account;
}

describe("the README's pages", () => {
  it("show a live picture", async () => {
    const ada = await account();
    const tv = await run("tv", ada);
    const phone = await run("phone", ada);
    await shows(tv);
    for (const page of [tv, phone]) await page.context().close();
  });

  it("ask a camera for its picture", async () => {
    const ada = await account();
    const camera = await run("camera", ada);
    const viewer = await run("viewer", ada);
    await shows(viewer);
    for (const page of [camera, viewer]) await page.context().close();
  });

  it("change what they send", async () => {
    const ada = await account();
    const wall = await run("wall", ada);
    const sharer = await run("sharer", ada);
    await wall.waitForFunction(() => [...document.querySelectorAll("video")].filter((video) => video.getVideoPlaybackQuality().totalVideoFrames > 5).length === 2);
    for (const page of [wall, sharer]) await page.context().close();
  });

  it("say how it flows", async () => {
    const ada = await account();
    const camera = await run("camera", ada);
    const watcher = await run("watcher", ada);
    await shows(watcher);
    await watcher.waitForFunction(() => /^p2p \d+ ms (good|fair|poor) [1-9]\d* bit\/s$/.test(document.title));
    for (const page of [camera, watcher]) await page.context().close();
  });

  it("send data", async () => {
    const ada = await account();
    const receiver = await run("receiver", ada);
    const sender = await run("sender", ada);
    await receiver.waitForFunction(() => document.body.innerText.includes("hello"));
    for (const page of [receiver, sender]) await page.context().close();
  });

  it("stay signed in", async () => {
    const ada = await account();
    const page = await run("kept", ada);
    const kept = await page.evaluate(() => localStorage.getItem("streamz"));
    assert.equal(JSON.parse(kept ?? "null")?.user.email, ada.email);
    await page.context().close();
  });
});
