import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { signedIn } from "../support/client.js";
import { FakeMediaStream, FakePeerConnection } from "../support/fakes.js";
import { startServer } from "../support/server.js";

// The hub's part of a call, with peer connections that only pretend.

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
before(async () => {
  server = await startServer({ RING_TIMEOUT: "1s" });
});
after(() => server?.stop());

/** @param {string[]} ids */
async function online(...ids) {
  const streamz = await signedIn(server.url, undefined, { RTCPeerConnection: FakePeerConnection, MediaStream: FakeMediaStream });
  const connections = [];
  for (const id of ids) connections.push(await streamz.connect({ id }));
  return { streamz, connections };
}

describe("rings", () => {
  it("are accepted, signaled and ended", async () => {
    const { streamz, connections: [phone, tv] } = await online("phone", "tv");
    const rung = tv.once("incoming");
    const call = phone.stream("tv", null, { type: "video" });
    const answer = await rung;
    assert.deepEqual([answer.peerId, answer.peer?.device_id, answer.type, answer.sourceId], ["phone", "phone", "video", "phone"]);
    answer.accept().catch(() => {});
    assert.equal(await call.accepted, "tv");
    assert.equal(answer.id, call.id);
    const pc = /** @type {any} */ (call.peerConnection);
    const answered = new Promise((resolve) => {
      const take = pc.setRemoteDescription.bind(pc);
      pc.setRemoteDescription = async (/** @type {any} */ description) => resolve(await take(description).then(() => description.type));
    });
    pc.onnegotiationneeded();
    assert.equal(await answered, "answer");
    answer.end("seen enough");
    assert.equal(await call.ended, "seen enough");
    assert.deepEqual([phone.calls, tv.calls], [[], []]);
    await streamz.close();
  });

  it("are declined, given up, and end by themselves", async () => {
    const { streamz, connections: [phone, tv] } = await online("phone", "tv");
    tv.once("incoming").then((call) => call.decline());
    await assert.rejects(phone.stream("tv").accepted, { code: "declined" });

    const rung = tv.once("incoming");
    const given = phone.stream("tv");
    const call = await rung;
    given.end();
    assert.equal(await call.ended, "cancelled");

    const late = tv.once("incoming");
    await assert.rejects(phone.stream("tv").accepted, { code: "timeout" });
    assert.equal(await (await late).ended, "timeout");
    await streamz.close();
  });

  it("are given up before the server had a name for them", async () => {
    const { streamz, connections: [phone, tv] } = await online("phone", "tv");
    phone.stream("tv").end();
    assert.deepEqual(phone.calls, []);
    // Records are written behind the signaling: asking again is what there is to wait for.
    let record;
    do [record] = (await streamz.streams.list({ active: false })).streams;
    while (!record);
    assert.equal(record.end_reason, "cancelled");
    const again = tv.once("incoming", ({ state }) => state === "ringing");
    phone.stream("tv");
    await again;
    await streamz.close();
  });

  it("come to nothing for a reason", async () => {
    const { streamz, connections: [phone, tv, laptop] } = await online("phone", "tv", "laptop");
    await assert.rejects(phone.stream("nobody").accepted, { code: "unknown_device" });
    tv.once("incoming").then((call) => call.accept().catch(() => {}));
    const call = phone.stream("tv", null, { type: "video" });
    await call.accepted;
    await assert.rejects(laptop.stream("tv").accepted, { code: "busy", retryable: true });
    await laptop.close();
    await tv.close();
    assert.ok(["ended", "device_lost"].includes(await call.ended));
    await streamz.close();
  });

  it("to all have one winner", async () => {
    const { streamz, connections: [phone, tv, laptop] } = await online("phone", "tv", "laptop");
    const rung = await Promise.all([tv.once("incoming"), laptop.once("incoming"), phone.stream(null, null, { type: "video" })]);
    const [atTv, atLaptop, call] = rung;
    const accepted = [atTv, atLaptop].map((ring) => ring.accept().catch((/** @type {any} */ error) => error.code));
    const winner = await call.accepted;
    const [won, lost] = winner === "tv" ? [atTv, atLaptop] : [atLaptop, atTv];
    assert.equal(await lost.ended, "answered_elsewhere");
    assert.equal(await accepted[won === atTv ? 1 : 0], "answered_elsewhere");
    assert.equal(won.state, "active");
    await streamz.close();
  });
});
