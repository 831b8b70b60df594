import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Streamz, StreamzError } from "../../src/index.js";
import { person, signedIn } from "../support/client.js";
import { startProxy, startServer } from "../support/server.js";
import { WebSocket } from "ws";

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

const offer = (/** @type {string | undefined} */ to, /** @type {string} */ sdp) => ({ type: "sdp_offer", payload: { to_device_id: to, sdp } });

describe("accounts", () => {
  it("register, sign in, sign out", async () => {
    const account = person();
    const streamz = new Streamz(server.url, { WebSocket });
    /** @type {string[]} */
    const events = [];
    streamz.on("signedin", ({ email }) => events.push(`in ${email}`));
    streamz.on("signedout", (error) => events.push(`out ${error?.code}`));
    const user = await streamz.register({ ...account, firstName: "Ada" });
    assert.equal(user.first_name, "Ada");
    assert.deepEqual(await streamz.me(), user);
    await streamz.logout();
    assert.equal(await streamz.user(), null);
    await assert.rejects(streamz.me(), { code: "signed_out" });
    assert.equal((await streamz.login(account)).id, user.id);
    await streamz.logout();
    assert.deepEqual(events, [`in ${account.email}`, "out undefined", `in ${account.email}`, "out undefined"]);
  });

  it("errors are typed", async () => {
    const streamz = new Streamz(server.url, { WebSocket });
    await assert.rejects(streamz.login(person()), (error) => error instanceof StreamzError && error.code === "invalid_credentials" && error.status === 401 && !error.retryable);
    await assert.rejects(streamz.register({ email: "ada@example.org", password: "short" }), (error) => error instanceof StreamzError && error.code === "invalid_fields" && error.fields[0].field === "password");
    const account = person();
    await streamz.register(account);
    await assert.rejects(streamz.register(account), { code: "email_taken", status: 409 });
    await assert.rejects(new Streamz("http://127.0.0.1:1").login(account), { code: "network", retryable: true });
    assert.throws(() => new Streamz("ftp://h"), { code: "invalid_url" });
  });

  it("a logout closes the connections of the sign-in, wherever they are", async () => {
    const account = person();
    const here = await signedIn(server.url);
    await here.logout();
    await here.register(account);
    const connection = await here.connect({ id: "laptop" });
    const storage = { read: () => kept, write: () => {}, clear: () => {} };
    const elsewhere = new Streamz(server.url, { WebSocket, storage });
    const kept = { user: await here.me(), accessToken: await here.accessToken(), refreshToken: "", expiresAt: Date.now() + 600_000, lifeMs: 900_000 };
    await elsewhere.logout();
    assert.equal((await connection.closed)?.code, "revoked");
    await assert.rejects(here.me(), { code: "revoked" });
    assert.equal(await here.user(), null);
    await elsewhere.close();
  });

  it("a new password closes the other devices and leaves this one", async () => {
    const account = person();
    const here = await signedIn(server.url);
    await here.logout();
    await here.register(account);
    const elsewhere = await signedIn(server.url, account);
    const [mine, theirs] = await Promise.all([here.connect({ id: "laptop" }), elsewhere.connect({ id: "phone" })]);
    const newPassword = "another one altogether";
    await assert.rejects(here.changePassword({ currentPassword: "not mine", newPassword }), { code: "wrong_password", status: 403, retryable: false });
    await here.changePassword({ currentPassword: account.password, newPassword });
    assert.equal((await theirs.closed)?.code, "revoked");
    await assert.rejects(elsewhere.me(), { code: "revoked" });
    assert.equal((await here.me()).email, account.email);
    assert.equal(mine.state.name, "online");
    const again = await signedIn(server.url, { ...account, password: newPassword });
    await Promise.all([here.logout(), again.logout()]);
  });

  it("sign-ins are listed, and ended one by one", async () => {
    const account = person();
    const here = await signedIn(server.url);
    await here.logout();
    await here.register(account);
    const elsewhere = await signedIn(server.url, account);
    const connection = await elsewhere.connect({ id: "phone" });
    const sessions = await here.sessions();
    assert.deepEqual(sessions.map(({ current }) => current).sort(), [false, true]);
    const other = sessions.find(({ current }) => !current);
    assert.ok(other && other.last_used_at >= other.created_at && typeof other.user_agent === "string");
    await here.endSession(other.id);
    assert.equal((await connection.closed)?.code, "revoked");
    await assert.rejects(here.endSession(other.id), { code: "session_not_found", status: 404 });
    assert.deepEqual((await here.sessions()).map(({ current }) => current), [true]);
    await here.logout();
  });

  it("a deleted account is gone, here and on its other devices", async () => {
    const account = person();
    const here = await signedIn(server.url);
    await here.logout();
    await here.register(account);
    const elsewhere = await signedIn(server.url, account);
    const connection = await elsewhere.connect({ id: "phone" });
    await assert.rejects(here.deleteAccount("not mine"), { code: "wrong_password" });
    const ended = here.once("signedout");
    await here.deleteAccount(account.password);
    assert.equal(await ended, undefined);
    assert.equal(await here.user(), null);
    assert.equal((await connection.closed)?.code, "revoked");
    await assert.rejects(here.login(account), { code: "invalid_credentials" });
  });

  it("the reuse of a refresh token ends the sign-in", async () => {
    const storage = { /** @type {any} */ kept: null, read: () => storage.kept, write: (/** @type {any} */ signIn) => void (storage.kept = signIn), clear: () => void (storage.kept = null) };
    const streamz = await signedIn(server.url, undefined, { storage });
    const stolen = { .../** @type {any} */ (storage.kept) };
    const connection = await streamz.connect({ id: "laptop" });
    // Of the way, not of the storage: there the next one stands beside it.
    const thief = { /** @type {any} */ kept: { ...stolen, nextRefreshToken: undefined, expiresAt: 0 }, read: () => thief.kept, write: (/** @type {any} */ signIn) => void (thief.kept = signIn), clear: () => void (thief.kept = null) };
    const other = new Streamz(server.url, { WebSocket, storage: thief });
    await other.me();
    storage.kept = { ...stolen, expiresAt: 0 };
    const ended = streamz.once("signedout");
    await assert.rejects(streamz.me(), { code: "refresh_token_reused" });
    assert.equal((await ended)?.code, "refresh_token_reused");
    assert.ok(["refresh_token_reused", "revoked"].includes(String((await connection.closed)?.code)));
    await assert.rejects(other.me(), { code: "revoked" });
  });
});

describe("devices and streams over HTTP", () => {
  it("list, create, rename, remove", async () => {
    const streamz = await signedIn(server.url);
    const id = "living room/tv";
    const created = await streamz.devices.create({ id, name: "TV", type: "tv" });
    assert.equal(created.device_id, id);
    await assert.rejects(streamz.devices.create({ id, name: "TV" }), { code: "device_exists" });
    assert.equal((await streamz.devices.rename(id, "Big screen")).device_name, "Big screen");
    assert.equal((await streamz.devices.update(id, { type: "projector" })).device_type, "projector");
    assert.deepEqual((await streamz.devices.list()).map(({ device_name }) => device_name), ["Big screen"]);
    await streamz.devices.remove(id);
    await assert.rejects(streamz.devices.remove(id), { code: "device_not_found" });
    assert.ok(Array.isArray(await streamz.iceServers()));
    await streamz.close();
  });

  it("history comes in pages, newest first", async () => {
    const streamz = await signedIn(server.url);
    const phone = await streamz.connect({ id: "phone" });
    const tv = await streamz.connect({ id: "tv" });
    const ids = [];
    for (let turn = 0; turn < 5; turn += 1) {
      const ringing = phone.once("message", ({ type }) => type === "stream_ringing");
      phone.send({ type: "stream_start", payload: { to_device_id: "tv", stream_type: "data" } });
      const { stream_id } = (await ringing).payload;
      ids.unshift(stream_id);
      await phone.send({ type: "stream_end", payload: { stream_id } });
    }
    // Records are written behind the signaling: asking again is what there is to wait for.
    let ended = [];
    while (ended.length < ids.length) ended = (await streamz.streams.list({ active: false })).streams;
    const page = await streamz.streams.list({ limit: 2 });
    assert.equal(page.streams.length, 2);
    assert.ok(page.nextCursor);
    const all = [];
    for await (const { id, started_at } of streamz.streams.all({ limit: 2, active: false, device: "tv" })) all.push({ id, started_at });
    assert.deepEqual(all.map(({ id }) => id).sort(), [...ids].sort());
    assert.deepEqual(all, [...all].sort((a, b) => b.started_at.localeCompare(a.started_at)));
    assert.equal((await streamz.streams.get(ids[0])).end_reason, "cancelled");
    await assert.rejects(streamz.streams.list({ cursor: "nonsense" }), { code: "malformed_query" });
    assert.equal(tv.state.name, "online");
    await streamz.close();
  });
});

describe("connections", () => {
  it("see each other come, go, be renamed and removed", async () => {
    const streamz = await signedIn(server.url);
    const laptop = await streamz.connect({ id: "laptop", name: "Ada's laptop", type: "laptop" });
    const came = laptop.once("online");
    const tv = await streamz.connect({ id: "tv", name: "TV", type: "tv" });
    assert.equal((await came).device_name, "TV");
    assert.deepEqual(tv.devices.map(({ device_id, is_online }) => [device_id, is_online]), [["laptop", true], ["tv", true]]);
    const renamed = laptop.once("updated");
    await streamz.devices.rename("tv", "Big screen");
    assert.equal((await renamed).device_name, "Big screen");
    const went = laptop.once("offline");
    await tv.close();
    assert.equal((await went).device_id, "tv");
    const removed = laptop.once("removed");
    await streamz.devices.remove("tv");
    assert.equal((await removed).device_id, "tv");
    await streamz.devices.remove("laptop");
    assert.equal((await laptop.closed)?.code, "device_removed");
  });

  it("relay in order, and say how each message ended", async () => {
    const streamz = await signedIn(server.url);
    const laptop = await streamz.connect({ id: "laptop" });
    await assert.rejects(laptop.send(offer(undefined, "x")), { code: "offline", certain: true });
    const tv = await streamz.connect({ id: "tv" });
    /** @type {string[]} */
    const got = [];
    tv.on("message", ({ payload }) => void got.push(payload.sdp));
    await Promise.all(["1", "2", "3", "4"].map((sdp) => laptop.send(offer("tv", sdp))));
    assert.deepEqual(got, ["1", "2", "3", "4"]);
    await laptop.send(offer(undefined, "all"));
    assert.equal(got.at(-1), "all");
    await assert.rejects(laptop.send(offer("nobody", "x")), { code: "unknown_device" });
    await assert.rejects(laptop.send({ type: "sdp_offer", payload: { to_device_id: "tv" } }), { code: "invalid_payload" });
    await assert.rejects(laptop.send({ type: "dance" }), { code: "unknown_type" });
    const refused = laptop.once("message", ({ type }) => type === "error");
    laptop.sendUnconfirmed({ type: "dance" });
    assert.equal((await refused).payload.code, "unknown_type");
    await streamz.close();
  });

  it("lose nothing and repeat nothing when the network is cut in mid-flight", async () => {
    const proxy = await startProxy(server.port);
    const streamz = await signedIn(proxy.url);
    const laptop = await streamz.connect({ id: "laptop" });
    const tv = await streamz.connect({ id: "tv" });
    /** @type {number[]} */
    const got = [];
    tv.on("message", ({ payload }) => void got.push(Number(payload.sdp)));
    const sent = [];
    for (let number = 0; number < 90; number += 1) {
      sent.push(laptop.send(offer("tv", String(number))));
      if (number % 30 === 15) {
        if (laptop.state.name !== "online") await laptop.once("state", ({ name }) => name === "online");
        const away = laptop.once("state", ({ name }) => name === "away");
        proxy.cut();
        await away;
      }
    }
    await Promise.all(sent);
    assert.deepEqual(got, [...Array(90).keys()]);
    assert.ok(laptop.state.resumed);
    await streamz.close();
    await proxy.stop();
  });

  it("start anew after the server lost everything, and say so", async () => {
    const first = await startServer();
    const proxy = await startProxy(first.port);
    const streamz = await signedIn(proxy.url);
    const laptop = await streamz.connect({ id: "laptop" });
    const tv = await streamz.connect({ id: "tv" });
    await first.kill();
    const second = await startServer({ DATA_DIR: first.data });
    proxy.retarget(second.port);
    await Promise.all([laptop, tv].map((connection) => connection.once("state", ({ name }) => name === "online")));
    assert.equal(laptop.state.resumed, false);
    const got = tv.once("message");
    await laptop.send(offer("tv", "again"));
    assert.equal((await got).payload.sdp, "again");
    await streamz.close();
    await proxy.stop();
    await second.stop();
    await first.stop();
  });

  it("give way to a newer one of the same device", async () => {
    const streamz = await signedIn(server.url);
    const older = await streamz.connect({ id: "laptop" });
    const newer = await streamz.connect({ id: "laptop" });
    assert.equal((await older.closed)?.code, "replaced");
    assert.equal(newer.state.name, "online");
    await streamz.close();
  });

  it("a first attempt fails at once, a patient one waits, and both can be given up", async () => {
    const proxy = await startProxy(server.port);
    const streamz = await signedIn(proxy.url);
    proxy.refuse(true);
    await assert.rejects(streamz.connect({ id: "laptop" }), { code: "network", retryable: true });
    const abort = new AbortController();
    const given = streamz.connect({ id: "laptop" }, { patient: true, signal: abort.signal });
    abort.abort();
    await assert.rejects(given, { code: "aborted" });
    const patient = streamz.connect({ id: "laptop" }, { patient: true });
    proxy.refuse(false);
    assert.equal((await patient).state.name, "online");
    await streamz.close();
    await proxy.stop();
  });

  it("outlive their access token", async () => {
    const brief = await startServer({ JWT_EXPIRY: "2s" });
    const streamz = await signedIn(brief.url);
    const laptop = await streamz.connect({ id: "laptop" });
    const states = /** @type {string[]} */ ([]);
    laptop.on("state", ({ name }) => void states.push(name));
    // Three lives of a token.
    for (let life = 0; life < 3; life += 1) await streamz.once("renewed");
    await streamz.me();
    assert.equal(laptop.state.name, "online");
    assert.deepEqual(states, [], "never away");
    await streamz.close();
    await brief.stop();
  });
});
