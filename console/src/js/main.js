// The page: who is signed in, which page is shown, and the connection that it shows the truth of.

import { Streamz, localStorageStorage } from "../client/index.js";
import { authPage } from "./auth.js";
import { callDesk } from "./call/desk.js";
import { VIEWERS_MAX } from "./call/viewers.js";
import { devicesPage } from "./devices.js";
import { put } from "./dom.js";
import { historyPage } from "./history.js";
import { keepIdentity, renewIdentity, takeIdentity } from "./identity.js";
import { button, toast } from "./parts.js";
import { shell } from "./shell.js";
import { unlock } from "./sound.js";
import { describe } from "./status.js";

const app = /** @type {HTMLElement} */ (document.querySelector("#app"));
const streamz = new Streamz(location.origin, { storage: localStorageStorage() });
const WATCHED = "streamz.watched";
const watched = () => localStorage.getItem(WATCHED) === "yes";
/** Those that watch, and a call. */
const streamsTaken = () => (watched() ? VIEWERS_MAX + 1 : 1);
/** Errors after which only a new sign-in helps. */
const SIGNED_OUT = new Set(["revoked", "invalid_token", "signed_out"]);
/** Ends what a sign-in began. @type {() => void} */
let leave = () => {};
/** Counts what is shown: whatever waited meanwhile gives way. */
let turns = 0;

/** The page of somebody who is signed in. @param {import("../client/index.js").User} user */
async function enter(user) {
  leave();
  const turn = ++turns;
  localStorage.setItem("streamz.known", "yes");
  let identity = await takeIdentity();
  if (turn !== turns) return;
  /** @type {import("../client/index.js").Connection | null} */
  let connection = null;
  /** How many streams the server was told that this device takes. */
  let takes = 0;
  const known = { state: null, network: navigator.onLine, returned: false, since: Date.now(), startedAt: Date.now() };
  const dial = new AbortController();

  const desk = callDesk({
    connection: () => connection,
    watched,
    watching: (calls) => pages.devices.watch(calls.map(({ peer, peerId }) => peer?.device_name ?? peerId ?? "")),
    over() {
      adapt();
      setTimeout(() => pages.history.refresh(), 400);
    },
  });
  const sharing = { watched, setWatched, stop: desk.unwatch };
  const frame = shell({ user, signOut });
  const who = { streamz, identity: () => identity };
  const pages = { devices: devicesPage({ ...who, start: desk.start, renamed, sharing }), history: historyPage(who) };

  function route() {
    const name = location.hash === "#history" ? "history" : "devices";
    frame.show(pages[name].element, name);
    if (name === "history") void pages.history.refresh();
    document.title = name === "history" ? "History – Streamz" : "Streamz";
  }

  async function connect() {
    known.startedAt = Date.now();
    known.state = null;
    frame.banner(null);
    tick();
    takes = streamsTaken();
    /** @type {import("../client/index.js").Connection} */
    let opened;
    try {
      const device = { id: identity.id, name: identity.name, type: identity.type, maxStreams: takes };
      opened = await streamz.connect(device, { patient: true, signal: dial.signal });
    } catch (error) {
      if (dial.signal.aborted) return;
      return closed(error);
    }
    connection = opened;
    // What is heard before this line is not lost: rings are told a moment later.
    opened.on("state", (state) => opened === connection && changed(state));
    opened.on("devices", listed);
    opened.on("incoming", (call) => void desk.incoming(call));
    opened.on("ongoing", (call) => void desk.ongoing(call));
    opened.on("updated", (device) => device.device_id === identity.id && renamed(device));
    const me = opened.devices.find(({ device_id }) => device_id === identity.id);
    if (me) renamed(me);
    changed(opened.state);
    listed(opened.devices);
    adapt();
  }

  /** @param {boolean} on */
  function setWatched(on) {
    localStorage.setItem(WATCHED, on ? "yes" : "no");
    if (!on) desk.unwatch();
    adapt();
  }

  /** How many streams a device takes is said when it connects: it does so anew, as soon as no call would end by it. */
  function adapt() {
    if (connection?.state.name !== "online" || takes === streamsTaken()) return;
    // The last word about a stream must have arrived: the other side would take a goodbye for a connection that broke.
    if (connection.calls.length > 0 || connection.counters.backlog > 0) return;
    const old = connection;
    connection = null;
    void old.close();
    void connect();
  }

  /** Another tab of this browser. @param {StorageEvent} event */
  function stored({ key }) {
    if (key !== WATCHED) return;
    if (!watched()) desk.unwatch();
    pages.devices.drawOwn();
    adapt();
  }

  function changed(state) {
    if (state.name === "online") known.returned = known.state !== null;
    if (state.name !== known.state?.name) known.since = Date.now();
    known.state = state;
    if (state.name === "closed") closed(state.error);
    tick();
  }

  function listed(devices) {
    pages.devices.show(devices);
    desk.update();
  }

  /** @param {{ device_name: string, device_type: string }} device */
  function renamed(device) {
    identity = { ...identity, name: device.device_name, type: device.device_type };
    keepIdentity(identity);
    pages.devices.drawOwn();
  }

  /** Over for good, unless the person says otherwise. */
  function closed(error) {
    known.state = { name: "closed", error };
    tick();
    if (!error) return;
    if (SIGNED_OUT.has(error.code)) return signedOut();
    const removed = error.code === "device_removed";
    const again = () => {
      if (removed) identity = renewIdentity(identity);
      void connect();
    };
    frame.banner(describe(known, Date.now()).detail, button(removed ? "Add it again" : error.code === "replaced" ? "Use it here" : "Try again", again));
  }

  function tick() {
    known.network = navigator.onLine;
    frame.status(describe(known, Date.now()));
  }

  async function signOut() {
    try {
      await streamz.logout();
    } catch {
      toast("You are signed out here. The server could not be told.");
    }
  }

  const second = setInterval(() => [tick(), adapt()], 1_000);
  const minute = setInterval(() => connection && pages.devices.show(connection.devices), 30_000);
  const listeners = [["hashchange", route], ["online", tick], ["offline", tick], ["storage", stored]];
  for (const [name, listener] of listeners) addEventListener(name, listener);
  leave = () => {
    clearInterval(second);
    clearInterval(minute);
    for (const [name, listener] of listeners) removeEventListener(name, listener);
    dial.abort();
    void connection?.close();
    leave = () => {};
  };
  put(app, frame.element);
  route();
  tick();
  pages.devices.show([]);
  await connect();
}

/** @param {string} [notice] */
function welcome(notice) {
  leave();
  turns += 1;
  document.title = "Streamz";
  const joining = location.hash === "#join";
  put(app, authPage({ streamz, joining, notice, known: localStorage.getItem("streamz.known") === "yes" }));
  /** @type {HTMLElement | null} */ (app.querySelector("input"))?.focus();
}

/** The server says so, by the connection or as the answer to a request; the first word counts. */
function signedOut() {
  if (!app.querySelector(".auth")) welcome("Your sign-in has ended. Please sign in again.");
}

streamz.on("signedin", (user) => {
  if (location.hash === "#join") history.replaceState(null, "", "#devices");
  void enter(user);
});
streamz.on("signedout", (reason) => (reason ? signedOut() : welcome()));
// Another tab of this browser signed in or out.
addEventListener("storage", async ({ key }) => {
  if (key !== "streamz") return;
  const user = await streamz.user();
  const inside = app.querySelector(".shell") !== null;
  if (user && !inside) void enter(user);
  if (!user && inside) welcome();
});
addEventListener("pointerdown", unlock, { capture: true });
addEventListener("keydown", unlock, { capture: true });

const user = await streamz.user();
if (user) void enter(user);
else welcome();
