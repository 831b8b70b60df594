// Which call this page is in: one at a time. Who rings meanwhile is told that it is busy, by the server.

import { reasonText } from "../format.js";
import * as media from "../media.js";
import { toast } from "../parts.js";
import { chime, ring } from "../sound.js";
import { kindOf, optionsOf } from "./kinds.js";
import { askToGoOn, askWhether } from "./ring.js";
import { callView } from "./view.js";

/** What a kind sends. @type {Record<string, (() => Promise<MediaStream>) | undefined>} */
const SENT = { camera: media.camera, audio: media.microphone, screen: media.screen, shared: media.picture };
const KEPT = "streamz.call";

/**
 * @param {object} parts
 * @param {() => import("../../client/index.js").Connection | null} parts.connection
 * @param {() => boolean} parts.watched whether the camera's picture is given without asking
 * @param {() => void} parts.over a call is
 */
export function callDesk({ connection, watched, over }) {
  /** @type {{ call: import("../../client/index.js").Call, view: ReturnType<typeof callView> } | null} */
  let current = null;
  let starting = false;

  /** @param {string} kind @param {string | null} to null: all devices */
  async function start(kind, to) {
    if (current || starting) return toast("End the call first.");
    starting = true;
    /** @type {MediaStream | null} */
    let local = null;
    try {
      local = (await SENT[kind]?.()) ?? null;
      const open = connection();
      if (!open) throw new Error("This device is not connected yet.");
      show(open.stream(to, local, optionsOf(kind)), /** @type {any} */ (kind), local);
    } catch (error) {
      media.stop(local);
      if (!(kind === "screen" && error.name === "NotAllowedError")) toast(media.explain(error), "bad");
    } finally {
      starting = false;
    }
  }

  /** @param {import("../../client/index.js").Call} call */
  async function incoming(call) {
    const kind = kindOf(call, connection()?.deviceId ?? "");
    if (current) return call.decline("busy");
    const name = call.peer?.device_name ?? "A device";
    const chosen = kind === "shared" && watched() ? "accept" : await askWhether(call, kind);
    if (chosen === "ended") return missed(call, name);
    if (chosen === "decline") return call.decline();
    await take(call, kind, chosen === "voice" ? media.microphone : SENT[kind]);
  }

  /** A call that this page was in before it was loaded anew. @param {import("../../client/index.js").Call} call */
  async function ongoing(call) {
    const kind = kindOf(call, connection()?.deviceId ?? "");
    const name = call.peer?.device_name ?? "another device";
    // A screen is captured after a tap only; and what this tab did not do goes on only if the person says so.
    const known = sessionStorage.getItem(KEPT) === call.peerId && kind !== "screen";
    if (!known && !(await askToGoOn(name))) return call.end();
    await take(call, kind, SENT[kind]);
  }

  async function take(call, kind, get) {
    const local = await (get?.() ?? Promise.resolve(null)).catch((error) => {
      toast(media.explain(error), "bad");
      return null;
    });
    if (call.state === "ended") return media.stop(local);
    if (!local && kind === "shared") return call.decline("no_media");
    show(call, kind, local);
    call.accept(local).catch(() => {
      // The view says why, as for every end.
    });
  }

  function show(call, kind, local) {
    const sent = local ?? new MediaStream();
    const view = callView({ call, kind, local: sent });
    current = { call, view };
    document.querySelector("#stage")?.replaceChildren(view.element);
    document.documentElement.classList.add("in-call");
    document.querySelector("#app")?.setAttribute("inert", "");
    const before = document.title;
    const name = () => call.peer?.device_name ?? "all devices";
    document.title = `${name()} – Streamz`;
    view.focus();
    const silence = call.direction === "outgoing" && call.state === "ringing" ? ring("outgoing") : () => {};
    call.accepted.then(() => {
      silence();
      chime(true);
    }, silence);
    call.on("declined", () => toast("One device declined."));
    const keep = () => call.state === "active" && sessionStorage.setItem(KEPT, call.peerId ?? "");
    keep();
    call.on("state", keep);
    call.ended.then((reason) => {
      sessionStorage.removeItem(KEPT);
      media.stop(sent);
      media.stop(local);
      view.stop();
      current = null;
      document.documentElement.classList.remove("in-call");
      document.querySelector("#app")?.removeAttribute("inert");
      document.title = before;
      chime(false);
      if (reason !== "answered") toast(`${name()}: ${reasonText(reason).toLowerCase()}.`);
      over();
    });
  }

  function missed(call, name) {
    if (call.endReason === "answered_elsewhere") toast("Answered on another device.");
    else if (call.endReason !== "answered") toast(`You missed a call from ${name}.`);
    over();
  }

  return {
    start,
    incoming,
    ongoing,
    /** Names may have changed. */
    update: () => current?.view.update(),
  };
}
