import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Http } from "../../src/http.js";
import { localStorageStorage, memoryStorage } from "../../src/storage.js";
import { Tokens } from "../../src/tokens.js";
import { FakeClock, turns } from "../support/fakes.js";

const user = { id: "u", email: "ada@example.org", first_name: null, last_name: null, created_at: "", updated_at: "" };

/** A server that keeps the one rule: a refresh token is good for one use, or for the same use again. */
function fakeServer() {
  let number = 1;
  let live = "r1";
  let spent = "";
  const server = {
    requests: 0,
    /** @type {{ status: number, body: unknown, headers?: Record<string, string> } | "no answer" | "lost answer" | undefined} */
    fails: undefined,
    answer: () => ({ user, access_token: `a${number}`, refresh_token: live, token_type: "Bearer", expires_in: 900 }),
    /** @type {any} */
    fetch: async (/** @type {string} */ _url, /** @type {RequestInit} */ init) => {
      server.requests += 1;
      await turns();
      const { fails } = server;
      if (fails === "no answer") throw new TypeError("fetch failed");
      if (typeof fails === "object") return new Response(JSON.stringify(fails.body), fails);
      const { refresh_token, new_refresh_token } = JSON.parse(String(init.body));
      if (refresh_token === live) {
        [spent, live] = [live, new_refresh_token];
        number += 1;
      } else if (refresh_token !== spent || new_refresh_token !== live) {
        return new Response(JSON.stringify({ code: "refresh_token_reused" }), { status: 401 });
      }
      if (fails === "lost answer") throw new TypeError("fetch failed");
      return new Response(JSON.stringify(server.answer()));
    },
  };
  return server;
}

async function setUp({ storage = memoryStorage(), server = fakeServer(), clock = new FakeClock(), locks = /** @type {any} */ (undefined) } = {}) {
  const make = () => new Tokens({ http: new Http("http://h", server.fetch), storage, clock, random: () => 0, locks });
  const tokens = make();
  await tokens.begin(server.answer());
  return { tokens, server, clock, make, storage };
}

/** Lets what the alarm began come to its end. */
async function settled() {
  for (let turn = 0; turn < 10; turn += 1) await turns();
}

describe("tokens", () => {
  it("are used as long as they are good, and refreshed before they lapse", async () => {
    const { tokens, server, clock } = await setUp();
    assert.equal(await tokens.token(), "a1");
    clock.advance(800_000);
    await settled();
    assert.equal(server.requests, 0);
    clock.advance(10_000);
    await settled();
    assert.equal(server.requests, 1);
    assert.equal(await tokens.token(), "a2");
  });

  it("are refreshed when a sleep took longer than their life", async () => {
    const { tokens, server, clock } = await setUp();
    clock.sleep(86_400_000);
    assert.equal(await tokens.token(), "a2");
    await settled();
    assert.equal(server.requests, 1);
  });

  it("are refreshed once, however many ask", async () => {
    const { tokens, server, make } = await setUp();
    const other = make();
    const asked = [tokens.token("a1"), tokens.token("a1"), other.token("a1"), other.token("a1")];
    assert.deepEqual(await Promise.all(asked), ["a2", "a2", "a2", "a2"]);
    assert.equal(server.requests, 1);
  });

  it("are refreshed in turn by tabs that share a lock", async () => {
    /** @type {Promise<unknown>} */
    let held = Promise.resolve();
    const locks = { request: (/** @type {string} */ _name, /** @type {() => unknown} */ work) => (held = held.then(work)) };
    const kept = new Map();
    const shared = { getItem: (/** @type {string} */ key) => kept.get(key) ?? null, setItem: kept.set.bind(kept), removeItem: kept.delete.bind(kept) };
    const storage = () => localStorageStorage("k", /** @type {any} */ (shared));
    const server = fakeServer();
    const { tokens } = await setUp({ storage: storage(), server, locks });
    const tab = new Tokens({ http: new Http("http://h", server.fetch), storage: storage(), clock: new FakeClock(), locks: /** @type {any} */ (locks) });
    assert.deepEqual(await Promise.all([tokens.token("a1"), tab.token("a1")]), ["a2", "a2"]);
    assert.equal(server.requests, 1);
  });

  it("are refreshed at once by tabs without locks, and both have them", async () => {
    const kept = new Map();
    const shared = { getItem: (/** @type {string} */ key) => kept.get(key) ?? null, setItem: kept.set.bind(kept), removeItem: kept.delete.bind(kept) };
    const storage = () => localStorageStorage("k", /** @type {any} */ (shared));
    const server = fakeServer();
    const { tokens } = await setUp({ storage: storage(), server });
    const tab = new Tokens({ http: new Http("http://h", server.fetch), storage: storage(), clock: new FakeClock() });
    for (const [old, fresh] of [["a1", "a2"], ["a2", "a3"]]) {
      assert.deepEqual(await Promise.all([tokens.token(old), tab.token(old)]), [fresh, fresh]);
    }
    assert.equal(server.requests, 4);
  });

  it("survive an answer that is lost: the same request is made again", async () => {
    const { tokens, server } = await setUp();
    server.fails = "lost answer";
    await assert.rejects(tokens.token("a1"), { code: "network" });
    await assert.rejects(tokens.token("a1"), { code: "network" });
    server.fails = undefined;
    assert.equal(await tokens.token("a1"), "a2");
    assert.equal(await tokens.token("a2"), "a3");
  });

  it("survive a server that is away, and come when it is back", async () => {
    const { tokens, server, clock, storage } = await setUp();
    for (const fails of /** @type {const} */ (["no answer", { status: 503, body: { code: "unavailable" }, headers: { "retry-after": "20" } }])) {
      server.fails = fails;
      await assert.rejects(tokens.token("a1"), { retryable: true });
      assert.ok(await storage.read());
    }
    let ended = false;
    tokens.on("ended", () => {
      ended = true;
    });
    clock.advance(810_000);
    await settled();
    server.fails = undefined;
    const renewed = tokens.once("renewed");
    clock.advance(19_999);
    await settled();
    assert.equal(await tokens.current().then((signIn) => signIn?.accessToken), "a1", "Retry-After is kept");
    clock.advance(1);
    assert.equal((await renewed).accessToken, "a2");
    assert.ok(!ended);
  });

  it("end with a refusal", async () => {
    const { tokens, storage } = await setUp();
    const kept = await storage.read();
    const ended = tokens.once("ended");
    if (kept) await storage.write({ ...kept, refreshToken: "r0" });
    await assert.rejects(tokens.token("a1"), { code: "refresh_token_reused" });
    assert.equal((await ended)?.code, "refresh_token_reused");
    assert.equal(await storage.read(), null);
    await assert.rejects(tokens.token(), { code: "signed_out", retryable: false });
  });

  it("do not come back if the sign-in ends while they are renewed", async () => {
    const { tokens, storage, server, clock } = await setUp();
    /** @type {string[]} */
    const ended = [];
    tokens.on("ended", () => void ended.push("ended"));
    const renewing = tokens.token("a1");
    while (server.requests === 0) await Promise.resolve();
    await tokens.end();
    await tokens.end();
    await assert.rejects(renewing, { code: "signed_out" });
    assert.equal((await storage.read()) ?? null, null);
    assert.deepEqual(ended, ["ended"]);
    clock.advance(86_400_000);
    await settled();
    assert.equal(server.requests, 1);
  });

  it("are not renewed after a stop, whatever was under way", async () => {
    const { tokens, server, clock } = await setUp();
    const renewing = tokens.token("a1");
    tokens.stop();
    assert.equal(await renewing, "a2");
    clock.advance(86_400_000);
    await settled();
    assert.equal(server.requests, 1);
  });

  it("survive an answer that is none of the server's", async () => {
    for (const fails of [{ status: 401, body: "<html>" }, { status: 404, body: "<html>" }]) {
      const { tokens, server, clock } = await setUp();
      server.fails = fails;
      await assert.rejects(tokens.token("a1"), { retryable: true });
      server.fails = undefined;
      clock.advance(900_000);
      await settled();
      assert.equal(await tokens.token("a1"), "a2");
    }
  });

  it("of a storage that holds something else are none", () => {
    const read = (/** @type {string | null} */ text) => localStorageStorage("k", /** @type {any} */ ({ getItem: () => text })).read();
    for (const text of [null, "", "{", "null", "7", "{}"]) assert.equal(read(text), null);
  });
});
