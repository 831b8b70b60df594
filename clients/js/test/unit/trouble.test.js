// Calls whose signaling, media or other side fail.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { failure, setUp, types, welcome } from "../support/calls.js";
import { FakePeerConnection, turns } from "../support/fakes.js";

const sdp = (/** @type {number} */ version) => `v=0\r\no=- 900 ${version} IN IP4 0.0.0.0\r\n`;
const count = (/** @type {{ type: string }[]} */ sent, /** @type {string} */ type) => types(sent).filter((each) => each === type).length;

describe("an offer that is ignored", () => {
  it("is answered by ours once more: a page that was loaded anew has never seen it", async () => {
    const { active, pc, says, sent } = setUp();
    const call = await active();
    pc(call).onnegotiationneeded();
    await turns();
    says("sdp_offer", { stream_id: "s1", sdp: sdp(1) });
    await turns();
    assert.equal(count(sent, "sdp_offer"), 2);
    assert.equal(count(sent, "sdp_answer"), 0);
  });

  it("is answered once if it comes twice", async () => {
    const { ring, incoming, says, sent } = setUp();
    ring();
    incoming[0].accept().catch(() => {});
    for (let times = 0; times < 2; times += 1) says("sdp_offer", { stream_id: "s1", sdp: sdp(1) });
    await turns();
    assert.equal(count(sent, "sdp_answer"), 1);
  });
});

describe("a call without WebRTC", () => {
  it("is not begun", () => {
    const { calls, sent } = setUp("phone", null);
    assert.throws(() => calls.start("tv", null, {}), { code: "unsupported" });
    assert.deepEqual(sent, []);
  });

  it("ends on both sides if there can be no connection", async () => {
    class Broken extends FakePeerConnection {
      constructor() {
        super({});
        throw new TypeError("no such ICE server");
      }
    }
    const { calls, says, last } = setUp("phone", Broken);
    const call = calls.start("tv", null, { type: "video" });
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv"] });
    says("stream_accept", { stream_id: "s1", from_device_id: "tv" });
    assert.equal(await call.accepted, "tv");
    await assert.rejects(call.ready, { code: "media_failed" });
    assert.equal(await call.ended, "media_failed");
    assert.equal(last("stream_end").payload.stream_id, "s1");
  });

  it("can still be taken by another device of the person", async () => {
    const { ring, incoming, sent } = setUp("phone", null);
    ring();
    await assert.rejects(incoming[0].accept(), { code: "unsupported" });
    assert.equal(incoming[0].state, "ringing");
    assert.deepEqual(sent, []);
  });

  it("outlives a connection that the program closed itself", async () => {
    const { active, calls, pc } = setUp();
    const call = await active();
    const peer = pc(call);
    peer.setConfiguration = () => {
      throw new TypeError("closed");
    };
    peer.close();
    calls.renewIceServers(false);
    assert.equal(call.state, "active");
  });
});

describe("while the signaling is away", () => {
  it("a ring that nobody waits for any more is given up when the server speaks of it", async () => {
    const { calls, says, last } = setUp();
    const call = calls.start("tv", null, {});
    const { id, outcome } = last("stream_start");
    outcome.reject(failure("expired", true));
    await assert.rejects(call.accepted, { code: "expired" });
    says("stream_ringing", { id, stream_id: "s1", to: ["tv"] });
    assert.equal(last("stream_end").payload.stream_id, "s1");
    assert.equal(says("stream_ringing", { id, stream_id: "s1", to: ["tv"] }), false);
  });

  it("an end is told until the server has it", async () => {
    const { active, last, sent, clock, calls } = setUp();
    const call = await active();
    call.end("film is over");
    for (let times = 1; times <= 3; times += 1) {
      assert.equal(count(sent, "stream_end"), times);
      last("stream_end").outcome.reject(failure("expired", true));
      await turns();
      clock.advance(2_000);
      await turns();
    }
    assert.equal(last("stream_end").payload.reason, "film is over");
    calls.welcome(welcome({ id: "s1", stream_type: "video", state: "active", from_device_id: "phone", to: ["tv"] }));
    assert.deepEqual(calls.all, [], "what is about to be ended is not taken up");
    last("stream_end").outcome.reject(failure("unknown_stream"));
    await turns();
    clock.advance(60_000);
    await turns();
    assert.equal(count(sent, "stream_end"), 4);
  });

  it("a hang-up is not undone by the ring with which the other side announces the call anew", async () => {
    const { ring, incoming, last, says, pc, clock } = setUp();
    ring();
    incoming[0].accept().catch(() => {});
    last("stream_accept").outcome.resolve();
    await turns();
    pc(incoming[0]).becomes("connected");
    says("stream_end", { stream_id: "s1", reason: "server_restart" });
    incoming[0].end();
    ring({ stream_id: "s2" });
    assert.equal(incoming.length, 1);
    assert.equal(last("stream_decline").payload.stream_id, "s2");
    // The next ring is a new one.
    ring({ stream_id: "s3" });
    clock.settle();
    assert.equal(incoming.length, 2);
  });
});

describe("a decline", () => {
  it("that comes while the call is being taken ends it", async () => {
    const { ring, incoming, sent } = setUp();
    ring();
    incoming[0].accept().catch(() => {});
    incoming[0].decline();
    assert.deepEqual(types(sent), ["stream_accept", "stream_end"]);
  });
});

describe("what is muted", () => {
  /** @param {"audio" | "video"} kind @returns {any} */
  const track = (kind) => ({ kind, enabled: true });

  it("stays so when the track is replaced or another one is added", async () => {
    const { calls } = setUp();
    const [camera, other, screen, sound] = [track("video"), track("video"), track("video"), track("audio")];
    const media = /** @type {any} */ ({ getTracks: () => [camera] });
    const call = calls.start("tv", media, { type: "video" });
    call.mute("video");
    await call.replaceTrack(camera, other);
    call.addTrack(screen);
    call.addTrack(sound);
    assert.deepEqual([camera, other, screen, sound].map(({ enabled }) => enabled), [false, false, false, true]);
    call.mute("video", false);
    assert.deepEqual([other, screen].map(({ enabled }) => enabled), [true, true]);
  });
});

describe("the end of candidates", () => {
  it("is told, and passed on", async () => {
    const { active, pc, says, last } = setUp();
    const call = await active();
    const peer = /** @type {any} */ (pc(call));
    peer.remoteDescription = {};
    peer.onicecandidate({ candidate: null });
    const { candidate, sdp_mid, sdp_mline_index } = last("ice_candidate").payload;
    assert.deepEqual([candidate, sdp_mid, sdp_mline_index], ["", "0", 0]);
    says("ice_candidate", { stream_id: "s1", candidate: "", sdp_mid: "0", sdp_mline_index: 0 });
    await turns();
    assert.equal(peer.candidates.at(-1).candidate, "");
  });
});
