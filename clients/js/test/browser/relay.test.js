// Calls whose networks allow no direct path: both sides are forced through a relay.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { atEnd } from "../support/cleanup.js";
import { relayed, throughRelay } from "../support/relayed.js";
import { lastRecord, Room, sees } from "../support/room.js";
import { startProxy } from "../support/server.js";
import { RELAYS } from "../support/turn.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

for (const { name, start, protocol } of RELAYS) {
  describe(`through ${name}`, () => {
    /** @param {Record<string, string>} [env] */
    const begin = async (env = {}) => {
      const relay = await start();
      atEnd(() => relay.stop());
      const server = await room.startForNow({ ...relay.env, ...env });
      relay.serves(server);
      return { relay, server };
    };

    it("media flows, and the record says how", async () => {
      const { server } = await begin();
      const { phone, tv, streamz } = await relayed(room, server.url);
      await throughRelay(phone, tv);
      assert.equal((await phone.evaluate(() => app.path())).protocol, protocol);
      assert.equal((await phone.evaluate(() => app.call.stats ?? app.next("stats"))).path, "relay");
      await phone.evaluate(() => app.call.end());
      assert.equal((await lastRecord(streamz)).connection_type, "relay");
    });

    it("a forged credential is refused", async () => {
      const { server } = await begin();
      const { pages: [phone] } = await room.open(["phone"], { url: server.url });
      const gathered = await phone.evaluate(async () => {
        const [{ urls, username, credential }] = app.connection.iceServers.filter((/** @type {any} */ server) => server.credential);
        const gather = async (/** @type {string} */ username, /** @type {string} */ credential) => {
          const pc = new RTCPeerConnection({ iceServers: [{ urls, username, credential }], iceTransportPolicy: "relay" });
          const found = { candidates: 0, errors: /** @type {number[]} */ ([]) };
          pc.onicecandidateerror = ({ errorCode }) => void found.errors.push(errorCode);
          const done = new Promise((/** @type {(value: void) => void} */ resolve) => {
            pc.onicecandidate = ({ candidate }) => (candidate?.candidate ? (found.candidates += 1) : resolve());
          });
          pc.createDataChannel("x");
          await pc.setLocalDescription();
          await done;
          pc.close();
          return found;
        };
        const later = `${Number(username.split(":")[0]) + 86_400}:${username.split(":")[1]}`;
        return { good: await gather(username, credential), forged: await gather(username, "forged"), longer: await gather(later, credential) };
      });
      assert.ok(gathered.good.candidates > 0);
      for (const { candidates, errors } of [gathered.forged, gathered.longer]) {
        assert.equal(candidates, 0);
        assert.ok(errors.includes(401), String(errors));
      }
    });

    it("the network is gone for 20 seconds: the call comes back", async () => {
      const { relay, server } = await begin();
      const proxy = await startProxy(server.port);
      atEnd(() => proxy.stop());
      const { phone, tv } = await relayed(room, proxy.url);
      const id = await tv.evaluate(() => app.call.id);
      // Nothing leaves this machine's pages any more: no media, no signaling, and the browser says so.
      relay.pause();
      proxy.refuse(true);
      proxy.cut();
      await Promise.all([phone, tv].map((page) => page.context().setOffline(true)));
      await tv.waitForFunction(() => app.call.media === "interrupted" && app.connection.state.name === "away");
      await tv.evaluate(() => new Promise((resolve) => setTimeout(resolve, 20_000)));
      relay.resume();
      proxy.refuse(false);
      await Promise.all([phone, tv].map((page) => page.context().setOffline(false)));
      for (const page of [phone, tv]) await page.waitForFunction(() => app.connection.state.resumed === true && app.call.media === "connected");
      await sees(tv);
      await throughRelay(phone, tv);
      assert.deepEqual(await Promise.all([phone, tv].map((page) => page.evaluate(() => app.call.id))), [id, id]);
    });
  });
}
