// What is said, without a browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { room } from "../src/js/call/buffer.js";
import { line, roundUp } from "../src/js/call/chart.js";
import { kindOf, optionsOf } from "../src/js/call/kinds.js";
import { forget, keep, recall } from "../src/js/call/memory.js";
import { ago, day, duration, rate, reasonText } from "../src/js/format.js";
import { describe as machine } from "../src/js/identity.js";
import { describe } from "../src/js/status.js";

const at = (state, more = {}) => describe({ state, network: true, returned: false, since: 0, startedAt: 0, ...more }, more.now ?? 1_000);

test("the state of the connection is no better than it is", () => {
  assert.equal(at(null).kind, "connecting");
  assert.equal(at(null, { now: 20_000 }).kind, "degraded");
  assert.equal(at(null, { network: false }).kind, "offline");
  assert.equal(at({ name: "online", resumed: false }).kind, "live");
  assert.deepEqual([at({ name: "online", resumed: true }, { returned: true }).text, at({ name: "online", resumed: false }, { returned: true }).text], ["Resumed", "Reconnected"]);
  assert.equal(at({ name: "online", resumed: true }, { returned: true, now: 7_000 }).kind, "live");
  // It works without the internet, as long as the server is near.
  assert.equal(at({ name: "online" }, { network: false }).kind, "live");
  const away = at({ name: "away", retryAt: 4_000, error: { code: "draining" } });
  assert.equal(away.kind, "degraded");
  assert.match(away.detail, /restarting.*Next try in 3 s/);
  assert.match(at({ name: "away" }, { now: 11_000 }).detail, /may see this one as offline/);
  assert.equal(at({ name: "away" }, { network: false }).kind, "offline");
  assert.match(at({ name: "closed", error: { code: "replaced" } }).detail, /somewhere else/);
});

test("what a call is for whom", () => {
  const of = (type, direction, sourceId) => kindOf({ type, direction, sourceId }, "me");
  assert.equal(of("both", "outgoing", "me"), "camera");
  assert.equal(of("both", "incoming", "other"), "camera");
  assert.equal(of("audio", "incoming", "other"), "audio");
  assert.equal(of("screen", "outgoing", "me"), "screen");
  assert.equal(of("screen", "incoming", "other"), "watch");
  assert.equal(of("video", "outgoing", "other"), "pull");
  assert.equal(of("video", "incoming", "me"), "shared");
  assert.equal(of("video", "incoming", "other"), "watch");
  assert.equal(of("video", "outgoing", "me"), "camera");
  assert.equal(of("data", "incoming", "other"), "data");
  assert.deepEqual(optionsOf("pull"), { pull: true, type: "video" });
});

test("times, rates and reasons in words", () => {
  const now = new Date(2027, 0, 15, 12).getTime();
  const before = (ms) => new Date(now - ms).toISOString();
  assert.deepEqual([null, 5_000, 61_000, 7_200_000, 86_400_000].map((ms) => ago(ms === null ? null : before(ms), now)),
    ["Never seen", "Seen just now", "Seen 1 minute ago", "Seen 2 hours ago", "Seen 1 day ago"]);
  assert.deepEqual([day(before(0), now), day(before(86_400_000), now)], ["Today", "Yesterday"]);
  assert.deepEqual([0, 65_000, 3_723_000].map(duration), ["0:00", "1:05", "1:02:03"]);
  assert.deepEqual([12, 640_000, 1_240_000, 23_000_000].map(rate), ["12 bit/s", "640 kbit/s", "1.2 Mbit/s", "23 Mbit/s"]);
  assert.deepEqual([reasonText("timeout"), reasonText("film is over"), reasonText(null)], ["No answer", "Film is over", "Ended"]);
});

test("the chart's axis ends above all that is shown", () => {
  for (const top of [0, 49_999, 50_001, 380_000, 1_000_000, 7_300_000]) assert.ok(roundUp(top) >= top && roundUp(top) <= Math.max(top * 2.5, 50_000), String(top));
  assert.equal(line([0, 100], 100), "M294.9 82.0L300.0 6.0");
});

test("a browser says what it runs on", () => {
  const of = (agent, touches = 0) => machine(agent, touches);
  assert.deepEqual(of("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) Safari/604.1"), { name: "iPhone", type: "phone" });
  assert.deepEqual(of("Mozilla/5.0 (Macintosh) Version/19 Safari/604.1", 5), { name: "iPad", type: "tablet" });
  assert.deepEqual(of("Mozilla/5.0 (Macintosh) Version/19 Safari/604.1"), { name: "Safari on Mac", type: "laptop" });
  assert.deepEqual(of("Mozilla/5.0 (Linux; Android 16) Chrome/140 Mobile Safari/537"), { name: "Android phone", type: "phone" });
  assert.deepEqual(of("Mozilla/5.0 (X11; Linux x86_64) Firefox/140"), { name: "Firefox on Linux", type: "desktop" });
});

test("what a tab sent in a call is known after a reload, of this call alone", () => {
  const kept = new Map();
  const storage = { setItem: (key, value) => kept.set(key, value), getItem: (key) => kept.get(key) ?? null, removeItem: (key) => kept.delete(key) };
  const sent = (audio, video) => ({ getAudioTracks: () => Array(audio).fill({}), getVideoTracks: () => Array(video).fill({ getSettings: () => ({ deviceId: "front" }) }) });
  const off = { audio: true, video: false };
  assert.equal(recall({ id: "a" }, storage), null);
  // A ring that has no name yet.
  keep({ id: null }, sent(1, 1), off, storage);
  assert.equal(recall({ id: null }, storage), null);
  keep({ id: "a" }, sent(1, 0), off, storage);
  assert.deepEqual(recall({ id: "a" }, storage), { id: "a", audio: true, video: false, off });
  keep({ id: "a" }, sent(1, 1), off, storage);
  assert.deepEqual(recall({ id: "a" }, storage), { id: "a", audio: true, video: true, off, camera: "front" });
  assert.equal(recall({ id: "b" }, storage), null);
  forget(storage);
  assert.equal(recall({ id: "a" }, storage), null);
  for (const other of ["phone", "{", '{"id":7}']) {
    storage.setItem("streamz.call", other);
    assert.equal(recall({ id: "a" }, storage), null);
  }
});

test("room in a channel comes, or the channel is over", async () => {
  const channel = Object.assign(new EventTarget(), { bufferedAmount: 10, readyState: "open" });
  await room(channel, 10);
  channel.bufferedAmount = 11;
  let came = false;
  const waits = room(channel, 10).then(() => (came = true));
  // It is low by its own measure, and full again before this side looks.
  channel.dispatchEvent(new Event("bufferedamountlow"));
  await new Promise(setImmediate);
  assert.equal(came, false);
  channel.bufferedAmount = 5;
  channel.dispatchEvent(new Event("bufferedamountlow"));
  await waits;
  channel.bufferedAmount = 11;
  const fails = assert.rejects(room(channel, 10), /closed/);
  channel.dispatchEvent(new Event("close"));
  await fails;
  await assert.rejects(room(Object.assign(channel, { readyState: "closed" }), 10), /closed/);
});
