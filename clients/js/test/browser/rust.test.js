// A page, and a peer of the `webrtc` crate behind the Rust client: either calls, both send.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Room, sees } from "../support/room.js";
import { rustPeer } from "../support/rust.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

/** Both of the pictures that the Rust peer shows in turns arrive as what they are. @param {import("playwright-core").Page} page */
async function seesBothColours(page) {
  await sees(page);
  await page.evaluate(async () => {
    await app.colour((/** @type {number[]} */ [red, , blue]) => red > 150 && blue < 90);
    await app.colour((/** @type {number[]} */ [red, , blue]) => blue > 150 && red < 90);
  });
}

/** The Rust peer has decoded what Chromium's camera shows. @param {any} seen */
function seesGreen({ decoded, colour: [red, green, blue] }) {
  assert.ok(decoded >= 1);
  assert.ok(green > 100 && red < 90 && blue < 90, `${red} ${green} ${blue}`);
}

describe("a page and a Rust peer", () => {
  it("the page calls", async () => {
    const { pages: [phone], account } = await room.open(["phone"]);
    const rust = await rustPeer(room.server.url, account);
    await phone.evaluate(async () => {
      app.use(app.connection.stream("rust", await app.camera()));
      await app.call.accepted;
    });
    await rust.says("connected");
    const seen = await rust.says("frames", ({ frames }) => frames >= 30);
    seesGreen(seen);
    assert.deepEqual(seen.size, [160, 120]);
    await seesBothColours(phone);
    const stats = await phone.evaluate(() => app.call.stats ?? app.next("stats"));
    assert.equal(stats.path, "p2p");
    await phone.evaluate(() => app.call.end("enough"));
    assert.equal((await rust.says("ended")).reason, "enough");
  });

  it("the Rust peer calls", async () => {
    const { pages: [phone], account } = await room.open(["phone"]);
    const rust = await rustPeer(room.server.url, account, "--call", "phone");
    await phone.evaluate(async () => {
      const call = await app.ring();
      await call.accept(await app.camera());
    });
    await rust.says("connected");
    await seesBothColours(phone);
    const seen = await rust.says("frames", ({ frames }) => frames >= 30);
    seesGreen(seen);
    await phone.evaluate(() => app.call.end());
    assert.equal((await rust.says("ended")).reason, "ended");
  });

  for (const direction of ["the page", "the Rust peer"]) {
    it(`${direction} opens a stream of data`, async () => {
      const { pages: [phone], account } = await room.open(["phone"]);
      const rust = await rustPeer(room.server.url, account, ...(direction === "the page" ? [] : ["--call", "phone", "--data"]));
      const echoed = await phone.evaluate(async (calls) => {
        if (calls) app.use(app.connection.stream("rust"));
        else void (await app.ring()).accept();
        const channel = await app.call.channel;
        const text = (/** @type {any} */ data) => (typeof data === "string" ? data : new TextDecoder().decode(data));
        return new Promise((resolve) => {
          channel.onmessage = (/** @type {any} */ { data }) => text(data) !== "hello of Rust" && resolve(text(data));
          channel.send("grüß dich");
        });
      }, direction === "the page");
      assert.equal(echoed, "grüß dich");
      assert.equal((await rust.says("data")).text, "grüß dich");
      await phone.evaluate(() => app.call.end());
      await rust.says("ended");
    });
  }
});
