import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";

import { launch, openPage, serveFiles } from "../support/browser.js";
import { person, signedIn } from "../support/client.js";
import { startProxy, startServer } from "../support/server.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

/** @type {Awaited<ReturnType<typeof serveFiles>>} */
let files;
/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("playwright-core").Page[]} */
let pages = [];

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
afterEach(async () => {
  for (const page of pages.splice(0)) await page.context().close();
});

/**
 * Pages of one account, a device each.
 * @param {string[]} devices
 * @param {{ url?: string, maxStreams?: number }} [options]
 */
async function open(devices, { url = server.url, maxStreams } = {}) {
  const account = person();
  const streamz = await signedIn(url);
  await streamz.logout();
  await streamz.register(account);
  const opened = [];
  for (const device of devices) {
    const page = await openPage(browser, { origin: files.origin, url, account, device, ...(maxStreams && { maxStreams }) });
    opened.push(page);
    pages.push(page);
  }
  return { account, streamz, pages: opened };
}

/** One calls the other with its camera, and the other sees it. @param {string[]} devices @param {{ url?: string }} [options] */
async function inCall(devices = ["phone", "tv"], options = {}) {
  const all = await open(devices, options);
  const [phone, tv] = all.pages;
  const taken = tv.evaluate(async () => {
    await (await app.ring()).accept();
  });
  await phone.evaluate(async (to) => {
    app.use(app.connection.stream(to, (app.sent = await app.camera())));
    await app.call.ready;
  }, devices[1]);
  await taken;
  assert.ok((await tv.evaluate(() => app.frames())) >= 10);
  return { ...all, phone, tv };
}

describe("calls in Chromium", () => {
  it("one sees the other's camera, and the record says how", async () => {
    const { phone, tv, streamz } = await inCall();
    const stats = await phone.evaluate(() => app.call.stats ?? app.next("stats"));
    assert.equal(stats.path, "p2p");
    assert.equal(stats.quality, "good");
    const tracks = await tv.evaluate(() => app.call.remoteStream.getTracks().map((/** @type {any} */ { kind }) => kind).sort());
    assert.deepEqual(tracks, ["audio", "video"]);
    const ended = tv.evaluate(() => app.call.ended);
    await phone.evaluate(() => app.call.end("film is over"));
    assert.equal(await ended, "film is over");
    let record;
    do [record] = (await streamz.streams.list()).streams;
    while (!record?.ended_at);
    assert.deepEqual([record.stream_type, record.connection_type, record.end_reason], ["both", "p2p", "film is over"]);
  });

  it("both send, a screen is added, a camera swapped, a track taken away", async () => {
    const { pages: [phone, tv] } = await open(["phone", "tv"]);
    const taken = tv.evaluate(async () => {
      await (await app.ring()).accept(await app.camera());
    });
    await phone.evaluate(async () => {
      app.use(app.connection.stream("tv", (app.sent = await app.camera())));
      await app.call.ready;
    });
    await taken;
    await Promise.all([phone, tv].map((page) => page.evaluate(() => app.frames())));

    const added = tv.evaluate(async () => (await app.next("track")).track.kind);
    await phone.evaluate(() => {
      const canvas = document.createElement("canvas");
      canvas.getContext("2d");
      app.screen = canvas.captureStream(15);
      const paint = () => {
        canvas.getContext("2d")?.fillRect(Math.random() * 200, 0, 20, 20);
        requestAnimationFrame(paint);
      };
      paint();
      app.call.addTrack(app.screen.getVideoTracks()[0], app.screen);
    });
    assert.equal(await added, "video");
    await tv.evaluate(async () => {
      const screens = app.call.remoteStream.getVideoTracks();
      if (screens.length !== 2) throw new Error(`${screens.length} pictures`);
      const element = document.createElement("video");
      element.muted = true;
      element.srcObject = new MediaStream([screens[1]]);
      await element.play();
      await new Promise((resolve) => element.requestVideoFrameCallback(resolve));
    });

    await phone.evaluate(async () => {
      const [camera] = app.sent.getVideoTracks();
      const [other] = (await app.camera()).getVideoTracks();
      await app.call.replaceTrack(camera, other);
      camera.stop();
    });
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    await phone.evaluate(() => app.call.mute("audio"));
    const removed = tv.evaluate(() => new Promise((resolve) => {
      const [, screen] = app.call.remoteStream.getVideoTracks();
      screen.addEventListener("mute", resolve, { once: true });
    }));
    await phone.evaluate(() => app.call.removeTrack(app.screen.getVideoTracks()[0]));
    await removed;
  });

  it("a television asks a camera for its picture", async () => {
    const { pages: [camera, tv] } = await open(["camera", "tv"]);
    const asked = camera.evaluate(async () => {
      const call = await app.ring();
      await call.accept(await app.camera());
      return call.sourceId;
    });
    await tv.evaluate(async () => {
      app.use(app.connection.stream("camera", null, { pull: true }));
      await app.call.ready;
    });
    assert.equal(await asked, "camera");
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
  });

  it("bytes go through a data channel, and through one that is opened later", async () => {
    const { pages: [phone, tv] } = await open(["phone", "tv"]);
    const heard = tv.evaluate(async () => {
      const call = await app.ring();
      await call.accept();
      const channel = await call.channel;
      return new Promise((resolve) => (channel.onmessage = (/** @type {any} */ { data }) => resolve([...new Uint8Array(data)])));
    });
    await phone.evaluate(async () => {
      app.use(app.connection.stream("tv"));
      const channel = await app.call.channel;
      channel.send(new Uint8Array([1, 2, 250]));
    });
    assert.deepEqual(await heard, [1, 2, 250]);
    const later = tv.evaluate(async () => {
      const channel = await app.next("channel");
      return new Promise((resolve) => (channel.onmessage = (/** @type {any} */ { data }) => resolve([channel.label, data])));
    });
    await phone.evaluate(() => {
      const channel = app.call.openChannel("chat", { ordered: true });
      channel.onopen = () => channel.send("hello");
    });
    assert.deepEqual(await later, ["chat", "hello"]);
  });

  it("a new path is found without a pause that is seen", async () => {
    const { phone, tv } = await inCall();
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(async () => {
      const pc = app.call.peerConnection;
      const restarted = new Promise((/** @type {(value: void) => void} */ resolve) => {
        pc.addEventListener("signalingstatechange", () => pc.signalingState === "stable" && resolve());
      });
      app.call.restartIce();
      await restarted;
    });
    assert.notEqual(await phone.evaluate(() => app.ufrag()), before);
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    assert.deepEqual(await tv.evaluate(() => app.log.filter((/** @type {string} */ media) => media === "none")), []);
  });

  it("both look for a new path at once", async () => {
    const { phone, tv } = await inCall();
    const [a, b] = await Promise.all([phone, tv].map((page) => page.evaluate(() => app.ufrag())));
    await Promise.all([phone, tv].map((page) => page.evaluate(() => app.call.networkChanged())));
    for (const [page, before] of /** @type {const} */ ([[phone, a], [tv, b]])) {
      await page.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    }
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
  });

  for (const reloaded of ["phone", "tv"]) {
    it(`the ${reloaded}'s page is reloaded in mid-call`, async () => {
      const { phone, tv, account } = await inCall();
      const page = reloaded === "phone" ? phone : tv;
      const id = await phone.evaluate(() => app.call.id);
      await page.reload();
      await page.evaluate(async ({ url, account, device }) => {
        await app.start({ url, account, device });
        const call = await app.ongoing();
        await call.accept(device === "phone" ? await app.camera() : null);
      }, { url: server.url, account, device: reloaded });
      assert.equal(await page.evaluate(() => app.call.id), id);
      assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    });
  }

  it("media goes on while the server is killed and started again, and the call is announced anew", async () => {
    const first = await startServer({ ALLOWED_ORIGINS: files.origin });
    const proxy = await startProxy(first.port);
    const { phone, tv } = await inCall(["phone", "tv"], { url: proxy.url });
    const id = await phone.evaluate(() => app.call.id);
    await first.kill();
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    const second = await startServer({ ALLOWED_ORIGINS: files.origin, DATA_DIR: first.data });
    proxy.retarget(second.port);
    for (const page of [phone, tv]) await page.waitForFunction((old) => app.call.id !== old && !app.call.orphaned, id);
    assert.equal(await tv.evaluate(() => app.call.state), "active");
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    const ended = tv.evaluate(() => app.call.ended);
    await phone.evaluate(() => app.call.end());
    assert.equal(await ended, "ended");
    await proxy.stop();
    await second.stop();
    await first.stop();
  });

  it("signaling is away for a while in mid-call: nothing is seen of it, and then a new path can be found", async () => {
    const proxy = await startProxy(server.port);
    const { phone, tv } = await inCall(["phone", "tv"], { url: proxy.url });
    proxy.refuse(true);
    proxy.cut();
    await phone.waitForFunction(() => app.connection.state.name === "away");
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(() => app.call.restartIce());
    proxy.refuse(false);
    await phone.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    assert.equal(await phone.evaluate(() => app.connection.state.resumed), true);
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
    await proxy.stop();
  });

  it("all are rung, one takes it, the others are told", async () => {
    const { pages: [phone, tv, laptop] } = await open(["phone", "tv", "laptop"]);
    const elsewhere = laptop.evaluate(async () => (await app.ring()).ended);
    const taken = tv.evaluate(async () => void (await (await app.ring()).accept()));
    const by = await phone.evaluate(async () => {
      app.use(app.connection.stream(null, await app.camera()));
      return app.call.accepted;
    });
    assert.equal(by, "tv");
    await taken;
    assert.equal(await elsewhere, "answered_elsewhere");
    assert.ok((await tv.evaluate(() => app.frames())) >= 10);
  });

  it("both ring each other at once, and it is one call", async () => {
    for (const maxStreams of [1, 4]) {
      const { pages: both } = await open(["phone", "tv"], { maxStreams });
      const other = ["tv", "phone"];
      await Promise.all(both.map((page) => page.evaluate(async () => (app.sent = await app.camera()))));
      await Promise.all(both.map((page, at) => page.evaluate(async (to) => {
        app.use(app.connection.stream(to, app.sent));
        await app.call.ready;
      }, other[at])));
      const ids = await Promise.all(both.map((page) => page.evaluate(() => app.connection.calls.map((/** @type {any} */ call) => call.id))));
      assert.deepEqual(ids[0], ids[1]);
      assert.equal(ids[0].length, 1);
      for (const page of both) {
        assert.ok((await page.evaluate(() => app.frames())) >= 10);
        const ringing = await page.evaluate(() => app.incoming.filter((/** @type {any} */ call) => call.state === "ringing").length);
        assert.equal(ringing, 0);
      }
    }
  });
});
