// Calls that may go through relays alone.

import assert from "node:assert/strict";

import { sees } from "./room.js";

/** @typedef {import("./room.js").Room} Room */

/** What the page calls `app`. @type {any} */
const app = undefined;

/**
 * A call of two pages that may use relays alone.
 * @param {Room} room
 * @param {string} url
 */
export async function relayed(room, url) {
  const all = await room.open(["phone", "tv"], { url });
  const [phone, tv] = all.pages;
  const taken = tv.evaluate(async () => void (await (await app.ring()).accept(null, { configuration: { iceTransportPolicy: "relay" } })));
  await phone.evaluate(async () => {
    app.use(app.connection.stream("tv", await app.camera(), { configuration: { iceTransportPolicy: "relay" } }));
    await app.call.ready;
  });
  await taken;
  await sees(tv);
  return { ...all, phone, tv };
}

/**
 * Each side sends through a relay. What the other side takes it for may be a peer-reflexive candidate (RFC 8445, section
 * 7.3.1.3), if a check comes before the candidate itself.
 * @param {import("playwright-core").Page[]} pages
 */
export async function throughRelay(...pages) {
  for (const page of pages) assert.equal((await page.evaluate(() => app.path())).local, "relay");
}
