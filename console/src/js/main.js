// The page: who is signed in, which page is shown, and the connection that it shows the truth of.

import { Streamz, localStorageStorage } from "../client/index.js";
import { authPage } from "./auth.js";
import { callDesk } from "./call/desk.js";
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
const sharing = {
  watched: () => localStorage.getItem("streamz.watched") === "yes",
  setWatched: (on) => localStorage.setItem("streamz.watched", on ? "yes" : "no"),
};
/** Ends what a sign-in began. @type {() => void} */
let leave = () => {};

/** The page of somebody who is signed in. @param {import("../client/index.js").User} user */
async function enter(user) {
  leave();
  localStorage.setItem("streamz.known", "yes");
  let identity = await takeIdentity();
  /** @type {import("../client/index.js").Connection | null} */
  let connection = null;
  const known = { state: null, network: navigator.onLine, returned: false, since: Date.now(), startedAt: Date.now() };
  const dial = new AbortController();

  const desk = callDesk({ connection: () => connection, watched: sharing.watched, over: () => setTimeout(() => pages.history.refresh(), 400) });
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
    try {
      const device = { id: identity.id, name: identity.name, type: identity.type };
      connection = await streamz.connect(device, { patient: true, signal: dial.signal });
    } catch (error) {
      if (dial.signal.aborted) return;
      return closed(error);
    }
    // What is heard before this line is not lost: rings are told a moment later.
    connection.on("state", changed);
    connection.on("devices", listed);
    connection.on("incoming", (call) => void desk.incoming(call));
    connection.on("ongoing", (call) => void desk.ongoing(call));
    connection.on("updated", (device) => device.device_id === identity.id && renamed(device));
    const me = connection.devices.find(({ device_id }) => device_id === identity.id);
    if (me) renamed(me);
    changed(connection.state);
    listed(connection.devices);
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
    // The sign-in page says it.
    if (!error || ["revoked", "invalid_token", "signed_out"].includes(error.code)) return;
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

  const second = setInterval(tick, 1_000);
  const minute = setInterval(() => connection && pages.devices.show(connection.devices), 30_000);
  const listeners = [["hashchange", route], ["online", tick], ["offline", tick]];
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
  document.title = "Streamz";
  const joining = location.hash === "#join";
  put(app, authPage({ streamz, joining, notice, known: localStorage.getItem("streamz.known") === "yes" }));
  /** @type {HTMLElement | null} */ (app.querySelector("input"))?.focus();
}

streamz.on("signedin", (user) => {
  if (location.hash === "#join") history.replaceState(null, "", "#devices");
  void enter(user);
});
streamz.on("signedout", (reason) => welcome(reason && "Your sign-in has ended. Please sign in again."));
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
