// A phone on the same network: a page over TLS with a certificate that the server made for itself, at an address that no
// browser trusts without TLS.

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { after, before, describe, it } from "node:test";

import { launch } from "../support/browser.js";
import { person } from "../support/client.js";
import { startServer } from "../support/server.js";

/** A machine without a network has its own address alone. */
const address = Object.values(networkInterfaces()).flat().find((each) => each?.family === "IPv4" && !each.internal)?.address ?? "127.0.0.1";

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  server = await startServer({ TLS_SELF_SIGNED: "true", HOST: "0.0.0.0" });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

describe(`a page at https://${address}`, () => {
  it("may use its camera, and another one sees it", async () => {
    const account = person();
    const url = `https://${address}:${server.port}`;
    const pages = [];
    for (const device of ["phone", "tv"]) {
      const context = await browser.newContext({ permissions: ["camera", "microphone"], ignoreHTTPSErrors: true });
      const page = await context.newPage();
      await page.goto(url);
      await page.evaluate(async ({ account, device }) => {
        const app = /** @type {any} */ (globalThis);
        const { Streamz } = await import(/** @type {any} */ ("/console/client/index.js"));
        app.streamz = new Streamz(location.origin);
        await app.streamz.login(account).catch(() => app.streamz.register(account));
        app.connection = await app.streamz.connect({ id: device });
      }, { account, device });
      pages.push(page);
    }
    const [phone, tv] = pages;
    assert.equal(await phone.evaluate(() => isSecureContext), true);
    const frames = tv.evaluate(async () => {
      const { connection } = /** @type {any} */ (globalThis);
      const video = Object.assign(document.createElement("video"), { muted: true });
      video.srcObject = await (await connection.once("incoming")).accept();
      await video.play();
      while (video.getVideoPlaybackQuality().totalVideoFrames < 10) await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      return video.getVideoPlaybackQuality().totalVideoFrames;
    });
    await phone.evaluate(async () => {
      const { connection } = /** @type {any} */ (globalThis);
      await connection.stream("tv", await navigator.mediaDevices.getUserMedia({ video: true })).ready;
    });
    assert.ok((await frames) >= 10);
    for (const page of pages) await page.context().close();
  });
});
