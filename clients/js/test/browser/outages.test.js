// What a call outlives: lost paths, lost signaling, a server that dies, pages that are loaded anew, tokens that lapse.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { atEnd } from "../support/cleanup.js";
import { Room, sees } from "../support/room.js";
import { startProxy } from "../support/server.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

/** @param {number} port */
async function proxyTo(port) {
  const proxy = await startProxy(port);
  atEnd(() => proxy.stop());
  return proxy;
}

describe("a call outlives", () => {
  it("a change of path, and nothing is seen of it", async () => {
    const { phone, tv } = await room.inCall();
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(() => app.call.restartIce());
    await phone.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    await sees(tv);
    assert.deepEqual(await tv.evaluate(() => app.log.filter((/** @type {string} */ media) => media === "none")), []);
  });

  it("a change of network on both sides at once", async () => {
    const { phone, tv } = await room.inCall();
    const [a, b] = await Promise.all([phone, tv].map((page) => page.evaluate(() => app.ufrag())));
    await Promise.all([phone, tv].map((page) => page.evaluate(() => void dispatchEvent(new Event("online")))));
    for (const [page, before] of /** @type {const} */ ([[phone, a], [tv, b]])) {
      await page.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    }
    await sees(tv);
  });

  for (const reloaded of ["phone", "tv"]) {
    it(`a reload of the ${reloaded}'s page`, async () => {
      const { phone, tv, account } = await room.inCall();
      const page = reloaded === "phone" ? phone : tv;
      const id = await phone.evaluate(() => app.call.id);
      await page.reload();
      await page.evaluate(async ({ url, account, device }) => {
        await app.start({ url, account, device });
        const call = await app.ongoing();
        await call.accept(device === "phone" ? await app.camera() : null);
      }, { url: room.server.url, account, device: reloaded });
      assert.equal(await page.evaluate(() => app.call.id), id);
      await sees(tv);
    });
  }

  for (const first of ["phone", "tv"]) {
    it(`a reload of both pages, of which the ${first}'s goes on first`, async () => {
      const { phone, tv, account } = await room.inCall();
      const id = await phone.evaluate(() => app.call.id);
      await Promise.all([phone.reload(), tv.reload()]);
      for (const device of first === "phone" ? ["phone", "tv"] : ["tv", "phone"]) {
        const page = device === "phone" ? phone : tv;
        await page.evaluate(async ({ url, account, device }) => {
          await app.start({ url, account, device });
          const call = await app.ongoing();
          app.taken = call.accept(device === "phone" ? await app.camera() : null);
        }, { url: room.server.url, account, device });
        // Its offer is on its way, to a page that may not have begun.
        await page.waitForFunction(() => app.call.peerConnection.localDescription);
      }
      await sees(tv);
      for (const page of [phone, tv]) assert.equal(await page.evaluate(() => app.taken.then(() => app.call.id)), id);
    });
  }

  it("the death of the server: media goes on, and the next one learns of the call", async () => {
    const first = await room.startForNow();
    const proxy = await proxyTo(first.port);
    const { phone, tv } = await room.inCall({ url: proxy.url });
    const id = await phone.evaluate(() => app.call.id);
    await first.kill();
    await phone.waitForFunction(() => app.connection.state.name === "away");
    await sees(tv);
    const second = await room.startForNow({ DATA_DIR: first.data });
    proxy.retarget(second.port);
    for (const page of [phone, tv]) await page.waitForFunction((old) => app.call.id !== old && !app.call.orphaned, id);
    assert.equal(await tv.evaluate(() => app.call.state), "active");
    await sees(tv);
    // Signaling works again: what is added now is negotiated through the new server.
    const added = tv.evaluate(async () => (await app.next("track")).track.kind);
    await phone.evaluate(async () => {
      const screen = await app.drawing();
      app.call.addTrack(screen.getVideoTracks()[0], screen);
    });
    assert.equal(await added, "video");
    const ended = tv.evaluate(() => app.call.ended);
    await phone.evaluate(() => app.call.end());
    assert.equal(await ended, "ended");
  });

  it("signaling that is away: nothing is seen of it, and what waits for it is done", async () => {
    const proxy = await proxyTo(room.server.port);
    const { phone, tv } = await room.inCall({ url: proxy.url });
    proxy.refuse(true);
    proxy.cut();
    await phone.waitForFunction(() => app.connection.state.name === "away");
    await sees(tv);
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(() => app.call.restartIce());
    proxy.refuse(false);
    await phone.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    assert.equal(await phone.evaluate(() => app.connection.state.resumed), true);
    await sees(tv);
  });

  it("its access tokens", async () => {
    const brief = await room.startForNow({ JWT_EXPIRY: "6s" });
    const { phone, tv } = await room.inCall({ url: brief.url });
    const lapse = (/** @type {any} */ page) => page.evaluate(async () => {
      const states = /** @type {string[]} */ ([]);
      app.connection.on("state", (/** @type {any} */ { name }) => states.push(name));
      // Two lives of a token.
      const until = performance.now() + 12_000;
      while (performance.now() < until) await app.streamz.once("renewed");
      return states;
    });
    for (const states of await Promise.all([lapse(phone), lapse(tv)])) assert.deepEqual(states, [], "never away");
    // The server takes what comes with the tokens of now.
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(() => app.call.restartIce());
    await phone.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    await sees(tv);
  });
});
