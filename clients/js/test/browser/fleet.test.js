// Pages at different gateways of a cluster.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { atEnd } from "../support/cleanup.js";
import { startFleet } from "../support/fleet.js";
import { lastRecord, Room, sees } from "../support/room.js";
import { startProxy } from "../support/server.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

describe("a cluster of two gateways", () => {
  /** @type {Awaited<ReturnType<typeof startFleet>>} */
  let fleet;
  before(async () => {
    fleet = await startFleet({ ALLOWED_ORIGINS: room.files.origin });
  });
  after(() => fleet?.stop());

  it("pages at different ones call each other, both ways", async () => {
    const urls = fleet.gateways.map(({ url }) => url);
    for (const each of [urls, [...urls].reverse()]) {
      const { phone, tv, streamz } = await room.inCall({ urls: each });
      const ended = tv.evaluate(() => app.call.ended);
      await phone.evaluate(() => app.call.end("seen"));
      assert.equal(await ended, "seen");
      const record = await lastRecord(streamz);
      assert.deepEqual([record.connection_type, record.end_reason], ["p2p", "seen"]);
    }
  });

  it("two at different ones take a ring, and one of them has it", async () => {
    const [first, second] = fleet.gateways.map(({ url }) => url);
    const { pages: [phone, tv, laptop] } = await room.open(["phone", "tv", "laptop"], { urls: [first, first, second] });
    const answers = [tv, laptop].map((page) => page.evaluate(async () => (await app.ring()).accept().then(() => "won", (/** @type {any} */ error) => error.code)));
    const winner = await phone.evaluate(async () => {
      app.use(app.connection.stream(null, await app.camera()));
      return app.call.accepted;
    });
    assert.deepEqual((await Promise.all(answers)).sort(), ["answered_elsewhere", "won"]);
    await sees(winner === "tv" ? tv : laptop);
  });

  it("a gateway dies in mid-call: its page goes on at the other", async () => {
    const [first, second] = fleet.gateways;
    const proxy = await startProxy(first.port);
    atEnd(() => proxy.stop());
    const { phone, tv } = await room.inCall({ urls: [proxy.url, second.url] });
    const id = await phone.evaluate(() => app.call.id);
    await first.kill();
    proxy.retarget(second.port);
    await phone.waitForFunction(() => app.connection.state.name === "online" && app.connection.state.resumed);
    await sees(tv);
    const before = await phone.evaluate(() => app.ufrag());
    await phone.evaluate(() => app.call.restartIce());
    await phone.waitForFunction((old) => app.ufrag() !== old && app.call.peerConnection.signalingState === "stable", before);
    await sees(tv);
    assert.deepEqual(await Promise.all([phone, tv].map((page) => page.evaluate(() => app.call.id))), [id, id]);
  });
});
