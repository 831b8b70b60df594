// Calls that last longer than the credentials of the relay that they go through.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { atEnd } from "../support/cleanup.js";
import { relayed, throughRelay } from "../support/relayed.js";
import { Room, sees } from "../support/room.js";
import { RELAYS } from "../support/turn.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

/** @param {() => Promise<import("../support/turn.js").Relay>} start */
async function outlives(start) {
  const relay = await start();
  atEnd(() => relay.stop());
  // A minute is the shortest life; new ones come when three quarters of it are over.
  const server = await room.startForNow({ ...relay.env, TURN_TTL: "1m" });
  const { phone, tv } = await relayed(room, server.url);
  const expiry = () => phone.evaluate(() => Number(app.connection.iceServers.find((/** @type {any} */ server) => server.username).username.split(":")[0]));
  const [lapses, before] = [await expiry(), (await phone.evaluate(() => app.path())).port];
  await phone.evaluate(() => app.connection.once("iceservers"));
  assert.ok(Date.now() / 1000 < lapses, "renewed in time");
  assert.ok((await expiry()) > lapses);
  await phone.waitForFunction(async (port) => {
    const { local, port: now } = await app.path();
    return local === "relay" && now !== port;
  }, before);
  await phone.waitForFunction((until) => Date.now() / 1000 > until + 2, lapses, { polling: 500, timeout: 60_000 });
  await throughRelay(phone, tv);
  await sees(tv, 30);
}

describe("credentials that lapse", () => {
  it(`are renewed before, and the call outlives them on a new path: ${RELAYS.map(({ name }) => name).join(", ")}`, async () => {
    await Promise.all(RELAYS.map(({ start }) => outlives(start)));
  });
});
