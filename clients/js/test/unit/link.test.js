import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Http } from "../../src/http.js";
import { StreamzError } from "../../src/errors.js";
import { Link } from "../../src/link.js";
import { FakeClock, fakeSockets, turns } from "../support/fakes.js";

/** @param {{ patient?: boolean, token?: (refused?: string) => Promise<string> }} [options] */
function setUp({ patient = false, token = async (refused) => (refused ? "new" : "old") } = {}) {
  const clock = new FakeClock();
  const { WebSocket, sockets, last } = fakeSockets();
  /** @type {string[]} */
  const states = [];
  /** @type {import("../../src/wire.js").Frame[]} */
  const heard = [];
  const link = new Link({
    device: { id: "laptop", name: "Ada's laptop", type: "laptop", maxStreams: 2 },
    http: new Http("https://h/base"),
    tokens: { token },
    clock,
    random: () => 1,
    patient,
    WebSocket,
    changed: ({ name }) => void states.push(name),
    heard: (frame) => void heard.push(frame),
  });
  return { link, clock, sockets, last, states, heard };
}

/** @param {Parameters<typeof setUp>[0]} [options] */
async function online(options) {
  const all = setUp(options);
  await all.link.dial();
  all.last().welcomes();
  return all;
}

const offer = { type: "sdp_offer", payload: { to_device_id: "tv", sdp: "x" } };

describe("a link", () => {
  it("says who it is, and the token where a browser can", async () => {
    const { last, states } = await online();
    assert.equal(last().url.protocol + last().url.host + last().url.pathname, "wss:h/base/ws");
    assert.deepEqual(Object.fromEntries(last().url.searchParams), { device_id: "laptop", device_name: "Ada's laptop", device_type: "laptop", max_streams: "2" });
    assert.deepEqual(last().protocols, ["streamz.v1", "bearer.old"]);
    assert.deepEqual(states, ["connecting", "online"]);
  });

  it("comes back with its session and sends again what has no outcome", async () => {
    const { link, clock, last, sockets } = await online();
    const { id, outcome } = link.submit(offer);
    last().says({ type: "device_offline", payload: {}, seq: 3 });
    last().ends(1006);
    clock.advance(500);
    await turns();
    assert.equal(sockets.length, 2);
    assert.equal(last().url.searchParams.get("session_id"), "session-1");
    assert.equal(last().url.searchParams.get("last_seq"), "3");
    last().welcomes({ resumed: true });
    clock.settle();
    assert.deepEqual(last().sent, [{ ...offer, id }]);
    last().says({ type: "delivered", payload: { id }, seq: 4 });
    await outcome;
  });

  it("waits longer after each failure, and not at all when the machine wakes", async () => {
    const { link, clock, last, sockets } = await online();
    last().ends(1006);
    clock.advance(500);
    await turns();
    last().ends(1006);
    clock.advance(999);
    await turns();
    assert.equal(sockets.length, 2);
    clock.advance(1);
    await turns();
    last().ends(1006);
    assert.equal(sockets.length, 3);
    link.wake();
    clock.advance(1_000);
    await turns();
    assert.equal(sockets.length, 4, "not more than one a second");
  });

  it("ends when the table says so, and tells who waits", async () => {
    const { link, last, states } = await online();
    const { outcome } = link.submit(offer);
    last().ends(4501);
    await assert.rejects(outcome, { code: "closed", certain: false });
    assert.equal(link.state.error?.code, "replaced");
    assert.deepEqual(states, ["connecting", "online", "closed"]);
    await assert.rejects(link.submit(offer).outcome, { code: "closed" });
  });

  it("gets a new token after 4001 and after the first 4500", async () => {
    for (const code of [4001, 4500]) {
      const { clock, last } = await online();
      last().ends(code);
      clock.advance(500);
      await turns();
      assert.deepEqual(last().protocols, ["streamz.v1", "bearer.new"]);
    }
  });

  it("answers token_expiring with auth", async () => {
    const { last } = await online();
    last().says({ type: "token_expiring", payload: { expires_in: 60 } });
    await turns();
    assert.deepEqual(last().sent, [{ type: "auth", payload: { token: "new" } }]);
  });

  it("changes servers without a goodbye that others would see", async () => {
    const { clock, last, sockets } = await online();
    last().says({ type: "reconnect", payload: { after_ms: 750 } });
    clock.advance(749);
    await turns();
    assert.equal(sockets.length, 1);
    clock.advance(1);
    await turns();
    assert.equal(sockets.length, 2);
    assert.equal(sockets[0].closedWith, undefined);
    last().welcomes({ resumed: true });
    assert.equal(sockets[0].closedWith, 1000);
  });

  it("asks a silent server, and leaves it when it stays silent", async () => {
    const { clock, last, sockets, states } = await online();
    clock.advance(25_000);
    assert.deepEqual(last().sent, [{ type: "ping" }]);
    last().says({ type: "pong", payload: {} });
    clock.advance(25_000);
    assert.equal(last().sent.length, 2);
    clock.advance(25_000);
    assert.deepEqual(states.at(-1), "away");
    clock.advance(500);
    await turns();
    assert.equal(sockets.length, 2);
  });

  it("notices after a sleep that the connection is gone", async () => {
    const { link, clock, last, states } = await online();
    clock.sleep(3_600_000);
    assert.deepEqual(states.at(-1), "online", "the answer may be there to be read");
    assert.deepEqual(last().sent, [{ type: "ping" }]);
    link.wake();
    clock.advance(4_000);
    assert.deepEqual(states.at(-1), "away");
  });

  it("does not wait for ever for a welcome", async () => {
    const { link, clock } = setUp({ patient: true });
    await link.dial();
    clock.advance(15_000);
    assert.equal(link.state.name, "away");
    assert.equal(link.state.error?.code, "silent");
  });

  it("settles what waited too long for a connection", async () => {
    const { link, clock, last } = await online();
    last().ends(1006);
    const { outcome } = link.submit(offer);
    const rejected = assert.rejects(outcome, { code: "expired", certain: true });
    for (let failure = 0; failure < 8; failure += 1) {
      clock.advance(30_000);
      await turns();
      last().ends(1006);
    }
    await rejected;
  });

  it("ends when there will be no token, and waits when there is none for now", async () => {
    const gone = setUp({ token: () => Promise.reject(new StreamzError("signed_out", "")) });
    await gone.link.dial();
    assert.equal(gone.link.state.error?.code, "signed_out");
    const away = setUp({ patient: true, token: () => Promise.reject(new StreamzError("unavailable", "", { retryable: true, retryAfterMs: 9_000 })) });
    await away.link.dial();
    assert.equal(away.link.state.retryAt, away.clock.now() + 9_500);
  });

  it("acknowledges what came together once", async () => {
    const { clock, last } = await online();
    for (const seq of [1, 2, 3]) last().says({ type: "device_offline", payload: {}, seq });
    assert.deepEqual(last().sent, []);
    clock.settle();
    assert.deepEqual(last().sent, [{ type: "ack", payload: { seq: 3 } }]);
  });

  it("leaves a server that breaks the protocol", async () => {
    const { link, last } = await online();
    last().onmessage({ data: new ArrayBuffer(1) });
    assert.equal(link.state.name, "away");
    assert.equal(link.state.error?.code, "protocol");
  });

  it("says goodbye once and is silent afterwards", async () => {
    const { link, clock, last, sockets } = await online();
    link.end();
    assert.equal(last().closedWith, 1000);
    last().ends(1000);
    clock.advance(600_000);
    await turns();
    assert.equal(sockets.length, 1);
    assert.deepEqual(clock.alarms, []);
  });

  it("stays closed if whoever hears the welcome closes it", async () => {
    const { link, last, states, heard } = setUp();
    await link.dial();
    heard.push = () => {
      link.end();
      return 0;
    };
    last().welcomes();
    assert.deepEqual(states, ["connecting", "closed"]);
  });
});
