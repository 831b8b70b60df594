import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Backoff } from "../../src/backoff.js";
import { closeError, comesBack } from "../../src/close_codes.js";
import { StreamzError, noAnswer, problem, readRetryAfter } from "../../src/errors.js";
import { Liveness } from "../../src/liveness.js";
import { Retry } from "../../src/retry.js";
import { Roster } from "../../src/roster.js";
import { Seen } from "../../src/seen.js";
import { device, welcomeFrame } from "../support/fakes.js";

const frame = (/** @type {string} */ type, /** @type {any} */ payload) => ({ type, payload });

describe("back-off", () => {
  it("draws evenly below a ceiling that doubles up to the cap", () => {
    const most = new Backoff({ random: () => 1 });
    assert.deepEqual([...Array(8)].map(() => most.next()), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    most.reset();
    assert.equal(most.next(), 500);
    const half = new Backoff({ random: () => 0.5 });
    assert.deepEqual([half.next(), half.next()], [250, 500]);
    for (let turn = 0; turn < 2000; turn += 1) assert.ok(half.next() <= 15_000);
  });
});

describe("retry", () => {
  const backoff = () => new Backoff({ random: () => 1 });
  const closed = (/** @type {number} */ code) => ({ kind: /** @type {const} */ ("closed"), error: closeError(code) });
  const known = () => {
    const retry = new Retry({ backoff: backoff() });
    retry.online();
    return retry;
  };

  it("comes back by the table of close codes", () => {
    for (const code of [1000, 1001, 1006, 1011, 4000, 4001, 4002, 4003, 4004, 4005, 4499]) {
      assert.ok("again" in known().lost(closed(code), 0), String(code));
      assert.ok(comesBack(code));
    }
    for (const code of [4501, 4502, 4503, 4504, 4505, 4506, 4999]) {
      assert.ok("end" in known().lost(closed(code), 0), String(code));
      assert.ok(!comesBack(code));
    }
  });

  it("replaces a lapsed token first, and a refused one once", () => {
    const retry = known();
    assert.ok("again" in retry.lost(closed(4001), 0));
    assert.ok(retry.needsNewToken);
    retry.gotToken();
    assert.ok(!retry.needsNewToken);
    const refused = known();
    assert.ok("again" in refused.lost(closed(4500), 0));
    assert.ok("end" in refused.lost(closed(4500), 0));
    const later = known();
    later.lost(closed(4500), 0);
    assert.ok("again" in later.lost(closed(4500), 10_000), "once per good connection");
  });

  it("lets a first attempt fail, unless it is patient", () => {
    const lost = closed(1006);
    assert.ok("end" in new Retry().lost(lost, 0));
    assert.ok("again" in new Retry({ patient: true }).lost(lost, 0));
  });

  it("waits as long as asked, and then some", () => {
    const error = new StreamzError("unavailable", "", { retryable: true, retryAfterMs: 7_000 });
    assert.deepEqual(known().lost({ kind: "token", error }, 0), { again: 7_500 });
    const forever = new StreamzError("unavailable", "", { retryable: true, retryAfterMs: 1e12 });
    assert.deepEqual(known().lost({ kind: "token", error: forever }, 0), { again: 300_500 });
    const final = new StreamzError("signed_out", "");
    assert.deepEqual(known().lost({ kind: "token", error: final }, 0), { end: final });
  });

  it("takes a failure for a first one only after a good connection", () => {
    const retry = known();
    const waits = [0, 0, 0, 10_000].map((onlineFor) => retry.lost(closed(1006), onlineFor));
    assert.deepEqual(waits, [{ again: 500 }, { again: 1000 }, { again: 2000 }, { again: 500 }]);
    const moved = { kind: /** @type {const} */ ("moved"), error: new StreamzError("draining", "") };
    assert.deepEqual(retry.lost(moved, 0), { again: 0 });
  });
});

describe("liveness", () => {
  it("asks a silent connection before it gives it up", () => {
    const liveness = new Liveness(0, 15_000);
    liveness.welcome(0, 25_000);
    assert.equal(liveness.look(24_999), "alive");
    assert.equal(liveness.look(25_000), "ping");
    assert.equal(liveness.look(49_999), "alive");
    assert.equal(liveness.look(50_000), "dead");
    liveness.heard(50_000);
    assert.equal(liveness.look(60_000), "alive");
  });

  it("does not call dead what slept, but asks and is impatient", () => {
    const liveness = new Liveness(0, 15_000);
    liveness.welcome(0, 25_000);
    assert.equal(liveness.look(25_000), "ping");
    assert.equal(liveness.look(3_600_000), "ping");
    assert.equal(liveness.look(3_604_000), "dead");
  });

  it("is not fooled by timers that are always late, as those of a hidden page", () => {
    const liveness = new Liveness(0, 15_000);
    liveness.welcome(0, 25_000);
    const looks = [60_000, 120_000, 180_000].map((now) => liveness.look(now));
    assert.deepEqual(looks, ["ping", "ping", "dead"]);
    const answered = new Liveness(0, 15_000);
    answered.welcome(0, 25_000);
    for (let minute = 1; minute < 10; minute += 1) {
      assert.equal(answered.look(minute * 60_000), "ping");
      answered.heard(minute * 60_000 + 10);
    }
  });

  it("asks at once when there is a reason to doubt, and one answer is enough", () => {
    const liveness = new Liveness(0, 15_000);
    assert.equal(liveness.doubt(10), "alive", "not welcomed yet");
    liveness.welcome(0, 25_000);
    assert.equal(liveness.doubt(1_000), "ping");
    assert.equal(liveness.doubt(1_500), "alive", "the question stands");
    assert.equal(liveness.look(5_000), "dead");
    liveness.heard(5_000);
    assert.equal(liveness.look(5_000), "alive");
  });

  it("does not wait for ever for a welcome", () => {
    assert.equal(new Liveness(0, 15_000).look(15_000), "dead");
  });
});

describe("the memory of mids", () => {
  it("knows each one, in whatever order they come", () => {
    const seen = new Seen();
    for (const number of [5, 3, 900, 4]) assert.ok(seen.insert(`a:${number}`));
    for (const number of [5, 3, 900, 4]) assert.ok(!seen.insert(`a:${number}`));
    assert.ok(seen.insert("b:5"));
  });

  it("is bounded", () => {
    const seen = new Seen();
    for (let number = 1; number <= 20_000; number += 1) assert.ok(seen.insert(`a:${number}`));
    assert.ok(!seen.insert("a:1"), "too old to be new");
    assert.ok(seen.size <= 4097);
    for (let sender = 0; sender < 1000; sender += 1) seen.insert(`s${sender}:1`);
    assert.ok(seen.size <= 64);
  });
});

describe("the list of devices", () => {
  it("follows what the server says", () => {
    const roster = new Roster();
    const kinds = (/** @type {any} */ given) => roster.apply(given).map(({ kind, device }) => `${kind} ${device.device_id}`);
    assert.deepEqual(kinds(welcomeFrame({ devices: [device("laptop"), device("tv", { is_online: false })] })), ["online laptop", "updated tv"]);
    assert.deepEqual(kinds(frame("device_online", { device_id: "tv", device_name: "TV", device_type: "tv" })), ["updated tv", "online tv"]);
    assert.equal(roster.get("tv")?.id, "row-tv", "what was known is kept");
    assert.deepEqual(kinds(frame("device_online", { device_id: "tv", device_name: "TV", device_type: "tv" })), []);
    assert.deepEqual(kinds(frame("device_offline", { device_id: "tv" })), ["offline tv"]);
    assert.deepEqual(kinds(frame("device_removed", { device_id: "tv" })), ["removed tv"]);
    assert.deepEqual(kinds(frame("device_offline", { device_id: "tv" })), []);
    assert.deepEqual(roster.all.map(({ device_id }) => device_id), ["laptop"]);
  });

  it("tells the difference that a new welcome makes, and nothing else", () => {
    const roster = new Roster();
    roster.apply(welcomeFrame({ devices: [device("a"), device("b"), device("c")] }));
    const changes = roster.apply(welcomeFrame({ devices: [device("d"), device("c", { is_online: false }), device("a")] }));
    assert.deepEqual(changes.map(({ kind, device }) => `${kind} ${device.device_id}`), ["removed b", "online d", "offline c"]);
    assert.deepEqual(roster.all.map(({ device_id }) => device_id), ["d", "c", "a"]);
  });
});

describe("errors", () => {
  it("read a problem", () => {
    const body = { code: "invalid_fields", detail: "Correct them.", errors: [{ field: "email", message: "no" }], request_id: "r" };
    const error = problem(422, body);
    assert.ok(error instanceof StreamzError && error instanceof Error);
    assert.deepEqual([error.code, error.message, error.status, error.retryable, error.requestId], ["invalid_fields", "Correct them.", 422, false, "r"]);
    assert.deepEqual(error.fields, body.errors);
  });

  it("make do with what something in between answers", () => {
    const error = problem(502, undefined);
    assert.deepEqual([error.code, error.retryable], ["http_502", true]);
    assert.deepEqual(noAnswer(new TypeError("fetch failed")).code, "network");
  });

  it("read Retry-After in both forms", () => {
    assert.equal(readRetryAfter("120", 0), 120_000);
    assert.equal(readRetryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 4_000), 6_000);
    for (const nothing of [null, undefined, "", "soon"]) assert.equal(readRetryAfter(nothing, 0), undefined);
  });

  it("know a code that the table does not", () => {
    assert.equal(closeError(4777).code, "closed_for_good");
    assert.equal(closeError(1006).code, "network");
    assert.equal(closeError(4504).code, "device_removed");
  });
});
