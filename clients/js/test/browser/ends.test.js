// How calls end, and that both sides and the record say why.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { lastRecord, Room, sees } from "../support/room.js";

/** What the page calls `app`. @type {any} */
const app = undefined;

const room = new Room();

describe("a call ends", () => {
  it("when it is declined, given up, or not answered", async () => {
    const brief = await room.startForNow({ RING_TIMEOUT: "2s" });
    const { pages: [phone, tv], streamz } = await room.open(["phone", "tv"], { url: brief.url });
    const outcome = () => phone.evaluate(() => app.call.accepted.catch((/** @type {any} */ error) => error.code));
    const rings = () => phone.evaluate(async () => void app.use(app.connection.stream("tv", await app.camera())));

    await rings();
    await tv.evaluate(async () => (await app.ring()).decline());
    assert.equal(await outcome(), "declined");
    assert.equal((await lastRecord(streamz)).end_reason, "declined");

    await rings();
    await tv.evaluate(() => app.ring());
    await phone.evaluate(() => app.call.end());
    assert.equal(await tv.evaluate(() => app.call.ended), "cancelled");

    await rings();
    await tv.evaluate(() => app.ring());
    assert.equal(await outcome(), "timeout");
    assert.equal(await tv.evaluate(() => app.call.ended), "timeout");
    assert.equal((await lastRecord(streamz)).end_reason, "timeout");
    // The camera is not the call's: whoever opened it closes it. The other side has nothing of it.
    assert.equal(await tv.evaluate(() => app.call.peerConnection), undefined);
  });

  it("at once when a device is removed from the account", async () => {
    const { phone, tv, streamz } = await room.inCall();
    const [there, gone] = [phone.evaluate(() => app.call.ended), tv.evaluate(() => app.call.ended)];
    await streamz.devices.remove("tv");
    assert.deepEqual(await Promise.all([there, gone]), ["device_removed", "device_removed"]);
    assert.equal(await tv.evaluate(() => app.connection.closed.then((/** @type {any} */ error) => error.code)), "device_removed");
    assert.equal((await lastRecord(streamz)).end_reason, "device_removed");
  });

  it("at once when one side signs out", async () => {
    const { phone, tv, streamz } = await room.inCall();
    const there = phone.evaluate(() => app.call.ended);
    await tv.evaluate(() => app.streamz.logout());
    assert.ok(["ended", "signed_out"].includes(await there));
    assert.ok(["ended", "signed_out"].includes((await lastRecord(streamz)).end_reason ?? ""));
  });

  it("when a device does not come back, with the true reason", async () => {
    const brief = await room.startForNow({ RESUME_WINDOW: "8s", OFFLINE_GRACE: "1s" });
    const { phone, tv, streamz } = await room.inCall({ url: brief.url });
    const ended = phone.evaluate(() => app.call.ended);
    // A page that crashes says no goodbye; its renderer is gone, and its media with it.
    const session = await tv.context().newCDPSession(tv);
    session.send("Page.crash").catch(() => {});
    assert.equal(await ended, "device_lost");
    assert.equal((await lastRecord(streamz)).end_reason, "device_lost");
  });

  it("not when a device comes back within its time", async () => {
    const { phone, tv, account } = await room.inCall();
    const session = await tv.context().newCDPSession(tv);
    session.send("Page.crash").catch(() => {});
    await phone.waitForFunction(() => app.call.media === "interrupted");
    const again = await room.page("tv", account);
    await again.evaluate(async () => void (await (await app.ongoing()).accept()));
    await sees(again);
    assert.equal(await phone.evaluate(() => app.call.state), "active");
  });
});
