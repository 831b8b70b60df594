// Calls between pages, each with frames that were decoded on the other side.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, lastRecord, Room, sees } from "../support/room.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

describe("calls in Chromium", () => {
  it("one sees the other's camera, and the record says how", async () => {
    const { phone, tv, streamz } = await room.inCall();
    const stats = await phone.evaluate(() => app.call.stats ?? app.next("stats"));
    assert.equal(stats.path, "p2p");
    assert.equal(stats.quality, "good");
    const tracks = await tv.evaluate(() => app.call.remoteStream.getTracks().map((/** @type {any} */ { kind }) => kind).sort());
    assert.deepEqual(tracks, ["audio", "video"]);
    const ended = tv.evaluate(() => app.call.ended);
    await phone.evaluate(() => app.call.end("film is over"));
    assert.equal(await ended, "film is over");
    const record = await lastRecord(streamz);
    assert.deepEqual([record.stream_type, record.connection_type, record.end_reason], ["both", "p2p", "film is over"]);
    assert.deepEqual([record.quality, record.latency_ms], [stats.quality, Math.round(stats.rttMs)]);
  });

  it("both send; each is muted and heard and seen again", async () => {
    const { pages: [phone, tv] } = await room.open(["phone", "tv"]);
    const taken = tv.evaluate(async () => void (await (await app.ring()).accept(await app.camera())));
    await phone.evaluate(async () => {
      app.use(app.connection.stream("tv", await app.camera()));
      await app.call.ready;
    });
    await taken;
    await Promise.all([sees(phone), sees(tv)]);
    for (const [from, to] of [[phone, tv], [tv, phone]]) {
      await to.evaluate(() => app.sound(true));
      await from.evaluate(() => [app.call.mute("audio"), app.call.mute("video")]);
      await to.evaluate(() => app.sound(false));
      await to.evaluate(() => app.colour((/** @type {number[]} */ rgb) => Math.max(...rgb) < 20));
      await from.evaluate(() => [app.call.mute("audio", false), app.call.mute("video", false)]);
      await to.evaluate(() => app.sound(true));
      await to.evaluate(() => app.colour((/** @type {number[]} */ rgb) => Math.max(...rgb) > 60));
    }
  });

  it("a screen is added in mid-call by either side at once, and taken away", async () => {
    const { phone, tv } = await room.inCall();
    // Both renegotiate at the same moment: one gives way, and both screens arrive.
    await Promise.all([phone, tv].map((page) => page.evaluate(async () => {
      app.screen = await app.drawing();
      const came = app.next("track");
      app.call.addTrack(app.screen.getVideoTracks()[0], app.screen);
      const { track, streams } = await came;
      if (track.kind !== "video" || streams.length !== 1) throw new Error(`${track.kind} of ${streams.length} streams`);
      app.shared = track;
      const element = document.createElement("video");
      element.muted = true;
      element.srcObject = new MediaStream([track]);
      await element.play();
      while (element.getVideoPlaybackQuality().totalVideoFrames < 10) await new Promise((resolve) => element.requestVideoFrameCallback(resolve));
      if (element.videoWidth !== 320) throw new Error(`${element.videoWidth} pixels`);
    })));
    await sees(tv);
    assert.equal(Object.keys(await tv.evaluate(() => app.pictures())).length, 2);

    const removed = tv.evaluate(() => new Promise((resolve) => app.shared.addEventListener("ended", () => resolve(app.call.remoteTracks.length), { once: true })));
    await phone.evaluate(() => app.call.removeTrack(app.screen.getVideoTracks()[0]));
    assert.equal(await removed, 2, "sound and camera are left");
    await sees(tv);

    // The next one takes the line of the one before it.
    const lines = () => phone.evaluate(() => app.call.peerConnection.localDescription.sdp.match(/^m=/gm).length);
    const before = await lines();
    const again = tv.evaluate(async () => (await app.next("track")).track.kind);
    await phone.evaluate(() => app.call.addTrack(app.screen.getVideoTracks()[0].clone(), app.screen));
    assert.equal(await again, "video");
    assert.equal(await lines(), before);
    await sees(tv);
  });

  it("the camera is swapped without negotiation", async () => {
    const { phone, tv } = await room.inCall();
    const described = await phone.evaluate(() => app.call.peerConnection.localDescription.sdp);
    await phone.evaluate(async () => {
      const [camera] = app.sent.getVideoTracks();
      const [other] = (await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } })).getVideoTracks();
      await app.call.replaceTrack(camera, other);
      camera.stop();
    });
    await tv.waitForFunction(() => /** @type {HTMLVideoElement} */ (document.querySelector("video")).videoWidth === 320);
    await sees(tv);
    assert.equal(await phone.evaluate(() => app.call.peerConnection.localDescription.sdp), described);
  });

  it("a television asks a camera for its picture, and so does a laptop at the same time", async () => {
    const { pages: [camera, tv, laptop] } = await room.open(["camera", "tv", "laptop"], { maxStreams: 4 });
    const viewers = [tv, laptop];
    const asked = camera.evaluate(async () => {
      const picture = await app.camera();
      const calls = [await app.ring(), await app.ring()];
      await Promise.all(calls.map((call) => call.accept(picture)));
      return calls.map((call) => call.sourceId);
    });
    await Promise.all(viewers.map((page) => page.evaluate(async () => {
      app.use(app.connection.stream("camera", null, { pull: true }));
      await app.call.ready;
    })));
    assert.deepEqual(await asked, ["camera", "camera"]);
    await Promise.all(viewers.map((page) => sees(page)));
    // One that leaves takes nothing from the other.
    await tv.evaluate(() => app.call.end());
    await camera.waitForFunction(() => app.connection.calls.length === 1);
    await sees(laptop);
  });

  it("one sends its picture to two at the same time, and goes on with one of them", async () => {
    const { pages: [phone, tv, laptop] } = await room.open(["phone", "tv", "laptop"], { maxStreams: 2 });
    const taken = [tv, laptop].map((page) => page.evaluate(async () => void (await (await app.ring()).accept())));
    await phone.evaluate(async () => {
      const picture = await app.camera();
      app.both = [app.connection.stream("tv", picture), app.connection.stream("laptop", picture)];
      await Promise.all(app.both.map((/** @type {any} */ call) => call.ready));
    });
    await Promise.all(taken);
    await Promise.all([sees(tv), sees(laptop)]);
    await phone.evaluate(() => app.both[0].end());
    await tv.waitForFunction(() => app.call.state === "ended");
    await sees(laptop);
  });

  it("bytes go through a data channel, and through one that is opened later", async () => {
    const { pages: [phone, tv] } = await room.open(["phone", "tv"]);
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

  it("three are rung: one declines, one takes it, the third is told", async () => {
    const { pages: [phone, tv, laptop, tablet] } = await room.open(["phone", "tv", "laptop", "tablet"]);
    const elsewhere = laptop.evaluate(async () => (await app.ring()).ended);
    const declined = tablet.evaluate(async () => void (await app.ring()).decline("not now"));
    await phone.evaluate(async () => {
      app.use(app.connection.stream(null, await app.camera()));
      app.refused = app.next("declined");
    });
    await declined;
    assert.equal(await phone.evaluate(() => app.refused), "tablet");
    const taken = tv.evaluate(async () => void (await (await app.ring()).accept()));
    assert.equal(await phone.evaluate(() => app.call.accepted), "tv");
    await taken;
    assert.equal(await elsewhere, "answered_elsewhere");
    await sees(tv);
  });

  it("two take a ring at the same time, and one of them has it", async () => {
    const { pages: [phone, tv, laptop] } = await room.open(["phone", "tv", "laptop"]);
    const answers = [tv, laptop].map((page) => page.evaluate(async () => {
      const call = await app.ring();
      return call.accept().then(() => "won", (/** @type {any} */ error) => error.code);
    }));
    const winner = await phone.evaluate(async () => {
      app.use(app.connection.stream(null, await app.camera()));
      return app.call.accepted;
    });
    assert.deepEqual(await Promise.all(answers), winner === "tv" ? ["won", "answered_elsewhere"] : ["answered_elsewhere", "won"]);
    await sees(winner === "tv" ? tv : laptop);
  });

  it("whoever calls a device that is in a call learns that it is busy, and the call goes on", async () => {
    const { tv, pages: [, , laptop] } = await room.inCall({ devices: ["phone", "tv", "laptop"] });
    const reason = await laptop.evaluate(async () => {
      const call = app.connection.stream("tv", await app.camera());
      return call.accepted.catch((/** @type {any} */ error) => error.code);
    });
    assert.equal(reason, "busy");
    await sees(tv);
  });

  for (const maxStreams of [1, 4]) {
    it(`both ring each other at once, and it is one call (${maxStreams} at a time)`, async () => {
      const { pages: both } = await room.open(["phone", "tv"], { maxStreams });
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
        await sees(page);
        const ringing = await page.evaluate(() => app.incoming.filter((/** @type {any} */ call) => call.state === "ringing").length);
        assert.equal(ringing, 0);
      }
    });
  }

  it("a second call follows the first", async () => {
    const { phone, tv } = await room.inCall();
    const ended = tv.evaluate(() => app.call.ended);
    await phone.evaluate(() => app.call.end());
    assert.equal(await ended, "ended");
    await call(tv, phone, "phone");
  });
});
