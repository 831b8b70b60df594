import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { failure, setUp, stream, types, welcome } from "../support/calls.js";
import { turns } from "../support/fakes.js";

describe("a call that we begin", () => {
  it("rings, is answered, flows, and is ended", async () => {
    const { active, says, last, calls, pc, sent } = setUp();
    const call = await active();
    assert.deepEqual(last("stream_start").payload, { stream_type: "video", to_device_id: "tv" });
    assert.equal(await call.accepted, "tv");
    assert.equal(call.media, "connected");
    await call.ready;
    pc(call).onnegotiationneeded();
    await turns();
    assert.equal(last("sdp_offer").payload.stream_id, "s1");
    says("stream_end", { stream_id: "s1", from_device_id: "tv", reason: "film is over" });
    assert.equal(await call.ended, "film is over");
    assert.ok(!types(sent).includes("stream_end"));
    assert.deepEqual(calls.all, []);
  });

  it("comes to nothing, for the reason that is given", async () => {
    for (const [frame, payload] of /** @type {const} */ ([["stream_end", { stream_id: "s1", reason: "timeout" }], ["stream_end", { stream_id: "s1", from_device_id: "tv", reason: "declined" }]])) {
      const { calls, says, last } = setUp();
      const call = calls.start("tv", null, {});
      says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv"] });
      says(frame, payload);
      await assert.rejects(call.accepted, { code: payload.reason });
      await assert.rejects(call.ready, { code: payload.reason });
    }
    const { calls, last } = setUp();
    const call = calls.start("tv", null, {});
    last("stream_start").outcome.reject(failure("busy", true));
    await assert.rejects(call.accepted, { code: "busy", retryable: true });
    assert.deepEqual(calls.all, []);
  });

  it("is given up before the server had a name for it", async () => {
    const { calls, says, last, sent } = setUp();
    const call = calls.start("tv", null, {});
    call.end();
    assert.equal(await call.ended, "cancelled");
    assert.deepEqual(types(sent), ["stream_start"]);
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv"] });
    assert.equal(last("stream_end").payload.stream_id, "s1");
  });

  it("asks for a picture instead of sending one", () => {
    const { calls, last } = setUp();
    calls.start("camera", null, { pull: true });
    assert.deepEqual(last("stream_start").payload, { stream_type: "video", to_device_id: "camera", source_device_id: "camera" });
    assert.throws(() => calls.start(null, null, { pull: true }), { code: "invalid_payload" });
  });

  it("tells who of many declined", async () => {
    const { calls, says, last } = setUp();
    const call = calls.start(null, null, {});
    assert.ok(!("to_device_id" in last("stream_start").payload));
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv", "laptop"] });
    const declined = call.once("declined");
    says("stream_decline", { stream_id: "s1", from_device_id: "laptop" });
    assert.equal(await declined, "laptop");
    says("stream_accept", { stream_id: "s1", from_device_id: "tv" });
    assert.equal(await call.accepted, "tv");
    assert.equal(call.peerId, "tv");
  });
});

describe("a ring", () => {
  it("is taken, and lets the other side offer first", async () => {
    const { ring, incoming, last, says, pc, sent } = setUp();
    ring();
    const [call] = incoming;
    assert.deepEqual([call.direction, call.peerId, call.type, call.state], ["incoming", "tv", "video", "ringing"]);
    const ready = call.accept();
    pc(call).onnegotiationneeded();
    await turns();
    assert.ok(!types(sent).includes("sdp_offer"));
    last("stream_accept").outcome.resolve();
    await turns();
    assert.equal(call.state, "active");
    says("ice_candidate", { stream_id: "s1", candidate: "candidate:1", sdp_mid: "0" });
    says("sdp_offer", { stream_id: "s1", sdp: "v=0\r\no=- 900 1 IN IP4 0.0.0.0\r\n" });
    await turns();
    assert.equal(pc(call).candidates[0].candidate, "candidate:1", "held until there was a description");
    assert.ok(last("sdp_answer"));
    pc(call).becomes("connected");
    pc(call).ontrack({ track: Object.assign(new EventTarget(), { kind: "video" }), streams: [] });
    assert.equal((await ready).getTracks().length, 1);
  });

  it("was taken elsewhere", async () => {
    const { ring, incoming, last, says } = setUp();
    ring();
    const taken = incoming[0].accept();
    last("stream_accept").outcome.reject(failure("answered_elsewhere"));
    await assert.rejects(taken, { code: "answered_elsewhere" });
    assert.equal(incoming[0].endReason, "answered_elsewhere");
    ring({ stream_id: "s2" });
    says("stream_end", { stream_id: "s2", reason: "answered_elsewhere" });
    assert.equal(await incoming[1].ended, "answered_elsewhere");
    await assert.rejects(incoming[1].accept(), { code: "answered_elsewhere" });
  });

  it("is declined", async () => {
    const { ring, incoming, last } = setUp();
    ring();
    incoming[0].decline("do not disturb");
    assert.deepEqual(last("stream_decline").payload, { stream_id: "s1", reason: "do not disturb" });
    assert.equal(await incoming[0].ended, "do not disturb");
  });

  it("that is over before anybody could hear of it is not told", () => {
    const { says, clock, incoming } = setUp();
    says("stream_start", { stream_id: "s1", from_device_id: "tv", stream_type: "video", source_device_id: "tv" });
    says("stream_end", { stream_id: "s1", reason: "cancelled" });
    clock.settle();
    assert.deepEqual(incoming, []);
  });
});

describe("both ring each other at once", () => {
  it("and theirs was first: ours becomes the answer", async () => {
    const { calls, ring, incoming, last } = setUp();
    const call = calls.start("tv", null, { type: "video" });
    ring({ stream_id: "theirs" });
    last("stream_start").outcome.reject(failure("busy", true));
    await turns();
    assert.equal(last("stream_accept").payload.stream_id, "theirs");
    last("stream_accept").outcome.resolve();
    assert.equal(await call.accepted, "tv");
    assert.deepEqual(incoming, []);
  });

  it("and ours failed for another reason: theirs rings", async () => {
    const { calls, ring, incoming, last, clock } = setUp();
    const call = calls.start("tv", null, { type: "video" });
    ring();
    last("stream_start").outcome.reject(failure("rate_limited", true));
    await assert.rejects(call.accepted, { code: "rate_limited" });
    clock.settle();
    assert.equal(incoming.length, 1);
  });

  it("and both live: the one of the first name is the call, for both", async () => {
    for (const [deviceId, ours] of /** @type {const} */ ([["phone", true], ["zebra", false]])) {
      const { calls, ring, says, last, sent } = setUp(deviceId);
      calls.start("tv", null, { type: "video" });
      says("stream_ringing", { id: last("stream_start").id, stream_id: "ours", to: ["tv"] });
      last("stream_start").outcome.resolve();
      await turns();
      ring({ stream_id: "theirs" });
      assert.deepEqual(types(sent), ours ? ["stream_start"] : ["stream_start", "stream_end", "stream_accept"]);
    }
  });

  it("and theirs rings here already: to ring is to answer", async () => {
    const { calls, ring, incoming, last, sent } = setUp();
    ring();
    calls.start("tv", null, { type: "video" });
    assert.deepEqual(types(sent), ["stream_accept"]);
    assert.equal(last("stream_accept").payload.stream_id, "s1");
    assert.equal(await incoming[0].ended, "answered");
    assert.equal(calls.all.length, 1);
  });

  it("but want different things: that is two calls", () => {
    const { calls, ring, incoming } = setUp();
    calls.start("tv", null, { type: "audio" });
    ring();
    assert.equal(incoming.length, 1);
  });
});

describe("a new session", () => {
  it("keeps what the server still knows", async () => {
    const { active, calls, sent } = setUp();
    const call = await active();
    const before = sent.length;
    calls.welcome(welcome(stream()));
    assert.deepEqual([call.state, call.orphaned, sent.length], ["active", false, before]);
  });

  it("announces anew what flows and the server has forgotten", async () => {
    const { active, calls, says, last, pc, clock } = setUp();
    const call = await active();
    pc(call).remoteDescription = {};
    calls.welcome(welcome());
    assert.ok(call.orphaned);
    last("stream_start").outcome.reject(failure("offline", true));
    await turns();
    clock.advance(2_000);
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s2", to: ["tv"] });
    last("stream_start").outcome.resolve();
    says("stream_accept", { stream_id: "s2", from_device_id: "tv" });
    assert.deepEqual([call.id, call.orphaned, call.state], ["s2", false, "active"]);
    assert.equal(pc(call).restarts, 1);
  });

  it("ends it honestly if nobody takes it up", async () => {
    const { active, calls, clock, pc } = setUp();
    const call = await active();
    const peer = pc(call);
    calls.welcome(welcome());
    clock.advance(30_000);
    assert.equal(await call.ended, "lost");
    assert.ok(peer.closed);
  });

  it("ends at once what does not flow", async () => {
    const { active, calls, pc } = setUp();
    const call = await active();
    pc(call).becomes("disconnected");
    calls.welcome(welcome());
    assert.equal(await call.ended, "lost");
  });

  it("takes up by itself what the other side announces anew", async () => {
    const { ring, incoming, last, says, pc } = setUp();
    ring();
    incoming[0].accept().catch(() => {});
    last("stream_accept").outcome.resolve();
    await turns();
    pc(incoming[0]).becomes("connected");
    says("stream_end", { stream_id: "s1", reason: "server_restart" });
    assert.ok(incoming[0].orphaned);
    ring({ stream_id: "s2" });
    last("stream_accept").outcome.resolve();
    await turns();
    assert.equal(incoming.length, 1);
    assert.deepEqual([incoming[0].id, incoming[0].orphaned], ["s2", false]);
  });

  it("hears of an answer that it missed", async () => {
    const { calls, says, last } = setUp();
    const call = calls.start("tv", null, {});
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv"] });
    calls.welcome(welcome(stream()));
    assert.equal(await call.accepted, "tv");
  });

  it("goes on with what a former run left, rings what rings, and gives up its own rings", async () => {
    const { calls, clock, incoming, ongoing, last, pc } = setUp();
    calls.welcome(welcome(
      stream({ id: "left" }),
      stream({ id: "rung", state: "ringing", from_device_id: "tv", to: ["phone"], source_device: { device_id: "tv" } }),
      stream({ id: "own", state: "ringing" }),
      stream({ id: "foreign", from_device_id: "tv", to: ["laptop"] }),
    ));
    clock.settle();
    assert.deepEqual([ongoing.map(({ id }) => id), incoming.map(({ id }) => id)], [["left"], ["rung"]]);
    assert.equal(last("stream_end").payload.stream_id, "own");
    ongoing[0].accept().catch(() => {});
    pc(ongoing[0]).onnegotiationneeded();
    await turns();
    assert.equal(last("sdp_offer").payload.stream_id, "left", "who comes back offers");
  });
});

describe("media", () => {
  it("begins anew when the other side does", async () => {
    const { active, says, pc, last } = setUp();
    const call = await active();
    const first = pc(call);
    first.onnegotiationneeded();
    await turns();
    says("sdp_answer", { stream_id: "s1", sdp: "v=0\r\no=- 900 1 IN IP4 0.0.0.0\r\n" });
    await turns();
    says("sdp_offer", { stream_id: "s1", sdp: "v=0\r\no=- 900 2 IN IP4 0.0.0.0\r\n" });
    await turns();
    assert.equal(pc(call), first, "the same connection said more");
    says("sdp_offer", { stream_id: "s1", sdp: "v=0\r\no=- 901 1 IN IP4 0.0.0.0\r\n" });
    await turns();
    assert.notEqual(pc(call), first);
    assert.ok(first.closed);
    assert.match(last("sdp_answer").payload.sdp, new RegExp(`o=- ${pc(call).number} `));
  });

  it("looks for a new path when the old one breaks, and again", async () => {
    const { active, pc, clock } = setUp();
    const call = await active();
    const peer = pc(call);
    peer.remoteDescription = {};
    peer.becomes("disconnected");
    assert.equal(call.media, "interrupted");
    clock.advance(2_499);
    assert.equal(peer.restarts, 0);
    clock.advance(1);
    assert.equal(peer.restarts, 1);
    clock.advance(5_000);
    assert.equal(peer.restarts, 2);
    peer.becomes("connected");
    clock.advance(20_000);
    assert.equal(peer.restarts, 2);
    peer.becomes("failed");
    clock.advance(0);
    assert.equal(peer.restarts, 3);
  });

  it("is not waited for for ever", async () => {
    const { active, pc, clock, last } = setUp();
    const call = await active();
    pc(call).becomes("failed");
    clock.advance(60_000);
    assert.equal(await call.ended, "media_failed");
    assert.equal(last("stream_end").payload.reason, "media_failed");
  });

  it("gives way or not when both offer at once", async () => {
    const sdp = "v=0\r\no=- 900 1 IN IP4 0.0.0.0\r\n";
    const impolite = setUp();
    const ours = await impolite.active();
    impolite.pc(ours).onnegotiationneeded();
    await turns();
    impolite.says("sdp_offer", { stream_id: "s1", sdp });
    await turns();
    assert.ok(!types(impolite.sent).includes("sdp_answer"));
    const polite = setUp();
    polite.ring();
    const [theirs] = polite.incoming;
    theirs.accept().catch(() => {});
    polite.says("sdp_offer", { stream_id: "s1", sdp });
    await turns();
    polite.pc(theirs).onnegotiationneeded();
    await turns();
    assert.equal(polite.pc(theirs).signalingState, "have-local-offer");
    polite.says("sdp_offer", { stream_id: "s1", sdp: sdp.replace("900 1", "900 2") });
    await turns();
    assert.equal(types(polite.sent).filter((type) => type === "sdp_answer").length, 2);
  });

  it("is described again if the description did not arrive", async () => {
    const { active, pc, last, sent, clock } = setUp();
    const call = await active();
    pc(call).onnegotiationneeded();
    await turns();
    last("sdp_offer").outcome.reject(failure("expired", true));
    await turns();
    clock.advance(1_000);
    assert.equal(types(sent).filter((type) => type === "sdp_offer").length, 2);
  });

  it("ends with the connection, if that is over for good", async () => {
    const { active, calls, sent } = setUp();
    const call = await active();
    const before = sent.length;
    calls.connectionClosed(failure("revoked"));
    assert.equal(await call.ended, "revoked");
    assert.equal(sent.length, before);
  });
});
