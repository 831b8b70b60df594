import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ACK_EVERY, Session } from "../../src/session.js";
import { welcomeFrame } from "../support/fakes.js";

const NOW = 1_000;
const offer = (/** @type {string} */ sdp) => ({ type: "sdp_offer", payload: { to_device_id: "tv", sdp } });

/** @param {Session<string>} session */
function written(session) {
  const frames = [];
  for (let text = session.nextFrame(); text !== undefined; text = session.nextFrame()) frames.push(JSON.parse(text));
  return frames;
}

/** @param {Session<string>} session @param {unknown} frame @param {number} [now] */
function hear(session, frame, now = NOW) {
  const heard = session.receive(JSON.stringify(frame), now);
  if (heard.event) session.taken();
  return heard;
}

/** @param {Record<string, unknown>} [welcome] */
function online(welcome) {
  /** @type {Session<string>} */
  const session = new Session();
  session.dial();
  hear(session, welcomeFrame(welcome));
  return session;
}

describe("a session", () => {
  it("sends nothing before it is welcomed, and then in order", () => {
    /** @type {Session<string>} */
    const session = new Session();
    session.submit(offer("1"), "one", NOW);
    session.submit(offer("2"), "two", NOW);
    assert.deepEqual(written(session), []);
    session.dial();
    assert.deepEqual(written(session), []);
    hear(session, welcomeFrame());
    assert.deepEqual(written(session).map((frame) => [frame.id, frame.payload.sdp]), [["m1", "1"], ["m2", "2"]]);
    assert.deepEqual(written(session), []);
  });

  it("settles a message exactly once", () => {
    const session = online();
    const id = session.submit(offer("1"), "one", NOW);
    const outcome = { type: "delivered", payload: { id }, id, seq: 1 };
    assert.deepEqual(hear(session, outcome).settled, [], "what was not sent has no outcome");
    written(session);
    assert.deepEqual(hear(session, { ...outcome, seq: 2 }).settled, [{ waiter: "one", id }]);
    assert.deepEqual(hear(session, { ...outcome, seq: 3 }).settled, []);
    assert.equal(session.counters.strayOutcomes, 2);
    assert.equal(session.backlog, 0);
  });

  it("tells the outcomes apart", () => {
    const session = online();
    const outcomes = [
      [{ type: "not_delivered", payload: { id: "m1", reason: "expired", failed: [{ device_id: "tv", reason: "expired" }] } }, "expired", false],
      [{ type: "not_delivered", payload: { id: "m2", reason: "offline" } }, "offline", true],
      [{ type: "error", payload: { id: "m3", code: "unknown_stream", message: "None." } }, "unknown_stream", true],
    ];
    for (const waiter of ["1", "2", "3"]) session.submit(offer(waiter), waiter, NOW);
    written(session);
    for (const [frame, code, certain] of outcomes) {
      const [{ error }] = hear(session, frame).settled;
      assert.equal(error?.code, code);
      assert.equal(error?.certain, certain);
    }
  });

  it("hands on an error that is about no message", () => {
    const { event } = hear(online(), { type: "error", payload: { code: "malformed_frame", message: "Not JSON." } });
    assert.equal(event?.payload.code, "malformed_frame");
  });

  it("sends what has no outcome again after a resume, under the same id, in order", () => {
    const session = online();
    for (const sdp of ["1", "2", "3"]) session.submit(offer(sdp), sdp, NOW);
    written(session);
    hear(session, { type: "delivered", payload: { id: "m2" }, seq: 1 });
    session.hangUp();
    session.submit(offer("4"), "4", NOW);
    assert.deepEqual(session.resumePoint, { sessionId: "session-1", lastSeq: 1 });
    session.dial();
    const { event } = hear(session, welcomeFrame({ resumed: true }));
    assert.equal(event?.payload.resumed, true);
    assert.deepEqual(written(session).map(({ id }) => id), ["m1", "m3", "m4"]);
    assert.equal(session.counters.sentAgain, 2);
  });

  it("starts anew when it was not resumed: seq from 1, open messages as new ones, mids remembered", () => {
    const session = online();
    session.submit(offer("1"), "one", NOW);
    written(session);
    hear(session, { type: "sdp_offer", payload: {}, seq: 40, mid: "other:7" });
    session.hangUp();
    session.dial();
    hear(session, welcomeFrame({ session_id: "session-2" }));
    assert.deepEqual(hear(session, { type: "delivered", payload: { id: "m1" }, seq: 1 }).settled, [], "not sent here yet");
    assert.deepEqual(written(session).map(({ id }) => id), ["m1"]);
    assert.equal(hear(session, { type: "sdp_offer", payload: {}, seq: 2, mid: "other:7" }).event, undefined);
    assert.equal(hear(session, { type: "sdp_offer", payload: {}, seq: 3, mid: "other:8" }).event?.seq, 3);
    assert.deepEqual(session.resumePoint, { sessionId: "session-2", lastSeq: 3 });
  });

  it("does not take the word of a welcome that resumes a session that it never had", () => {
    assert.equal(hear((() => { const s = new Session(); s.dial(); return s; })(), welcomeFrame({ resumed: true })).event?.payload.resumed, false);
  });

  it("settles what is no longer worth sending, as soon as it is too old or the session is another", () => {
    const session = online();
    session.submit(offer("1"), "sent", NOW);
    written(session);
    session.hangUp();
    session.submit(offer("2"), "kept", NOW + 10_000);
    assert.equal(session.expiresAt, NOW + 30_000);
    assert.deepEqual(session.expire(NOW + 29_999), []);
    session.dial();
    const { settled } = hear(session, welcomeFrame({ session_id: "session-2" }), NOW + 30_000);
    assert.deepEqual(settled.map(({ waiter, error }) => [waiter, error?.code, error?.certain]), [["sent", "expired", false]]);
    session.hangUp();
    const [{ error }] = session.expire(NOW + 40_000);
    assert.equal(error?.certain, true, "it was never sent");
  });

  it("drops what comes twice, by seq and by mid, and says so again", () => {
    const session = online();
    const frame = { type: "sdp_offer", payload: {}, seq: 1, mid: "other:1" };
    assert.ok(hear(session, frame).event);
    session.idle();
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: 1 } }]);
    assert.equal(hear(session, frame).event, undefined);
    session.idle();
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: 1 } }]);
    assert.equal(hear(session, { ...frame, seq: 2 }).event, undefined);
    assert.deepEqual([session.counters.repeatedSeq, session.counters.repeatedMid], [1, 1]);
  });

  it("acknowledges many frames at once, outcomes alone not before a heartbeat", () => {
    const session = online();
    for (let seq = 1; seq <= 3; seq += 1) hear(session, { type: "device_offline", payload: {}, seq });
    session.idle();
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: 3 } }]);
    session.submit(offer("1"), "one", NOW);
    written(session);
    hear(session, { type: "delivered", payload: { id: "m1" }, seq: 4 });
    session.idle();
    assert.deepEqual(written(session), []);
    session.heartbeat();
    session.idle();
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: 4 } }]);
  });

  it("acknowledges in time even if frames never cease to come", () => {
    const session = online();
    for (let seq = 1; seq <= ACK_EVERY; seq += 1) hear(session, { type: "device_offline", payload: {}, seq });
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: ACK_EVERY } }]);
  });

  it("does not acknowledge what the program does not have", () => {
    const session = online();
    session.receive(JSON.stringify({ type: "sdp_offer", payload: {}, seq: 1 }), NOW);
    session.idle();
    assert.deepEqual(written(session), []);
    session.taken();
    session.idle();
    assert.deepEqual(written(session), [{ type: "ack", payload: { seq: 1 } }]);
  });

  it("is bounded, in number, in bytes and in the size of a message", () => {
    const code = (/** @type {() => void} */ call, /** @type {string} */ expected) => assert.throws(call, { code: expected, certain: true });
    /** @type {Session<string>} */
    const many = new Session({ unsettledMessages: 2 });
    many.submit(offer("1"), "", NOW);
    many.submit(offer("2"), "", NOW);
    code(() => many.submit(offer("3"), "", NOW), "backlog");
    /** @type {Session<string>} */
    const large = new Session({ unsettledBytes: 100 });
    code(() => large.submit(offer("x".repeat(100)), "", NOW), "backlog");
    code(() => large.submit(offer("ä".repeat(32 * 1024)), "", NOW), "too_large");
    assert.deepEqual(many.giveUp(), ["", ""]);
    assert.equal(many.backlog, 0);
  });

  it("forgets what has no id with its connection", () => {
    const session = online();
    session.submitUnconfirmed(offer("1"), NOW);
    session.hangUp();
    assert.equal(session.backlog, 0);
    assert.throws(() => session.submitUnconfirmed(offer("2"), NOW), { code: "away" });
  });

  it("sends token and ping only on a connection", () => {
    const session = online();
    session.authenticate("a.b.c");
    session.ping();
    assert.deepEqual(written(session), [{ type: "auth", payload: { token: "a.b.c" } }, { type: "ping" }]);
    session.authenticate("d.e.f");
    session.hangUp();
    session.ping();
    session.dial();
    hear(session, welcomeFrame({ resumed: true }));
    assert.deepEqual(written(session), []);
  });

  it("gives a connection up that breaks the protocol", () => {
    for (const text of ["", "[]", "null", "{}", '{"type":1}', undefined, '{"type":"pong"}']) {
      /** @type {Session<string>} */
      const session = new Session();
      session.dial();
      assert.throws(() => session.receive(text, NOW), { code: "protocol" });
    }
    assert.throws(() => hear(online(), welcomeFrame()), { code: "protocol" });
  });
});
