// Which call this page is in: one at a time, beside those that only watch its camera. Who rings meanwhile is told that
// it is busy, by the server or from here.

import { reasonText } from "../format.js";
import * as media from "../media.js";
import { toast } from "../parts.js";
import { chime, ring } from "../sound.js";
import { kindOf, optionsOf } from "./kinds.js";
import { forget, keep, recall } from "./memory.js";
import { askToGoOn, askWhether } from "./ring.js";
import { callView } from "./view.js";
import { viewers } from "./viewers.js";

/** @typedef {import("../../client/index.js").Call} Call */
/** @typedef {import("./memory.js").Off} Off */

/** What a kind sends. @type {Record<string, (() => Promise<MediaStream>) | undefined>} */
const SENT = { camera: media.camera, audio: media.microphone, screen: media.screen, shared: media.picture };

/**
 * @param {object} parts
 * @param {() => import("../../client/index.js").Connection | null} parts.connection
 * @param {() => boolean} parts.watched whether the camera's picture is given without asking
 * @param {(calls: Call[]) => void} parts.watching who watches the camera changed
 * @param {() => void} parts.over a call is
 */
export function callDesk({ connection, watched, watching, over }) {
  /** @type {{ call: Call, view: ReturnType<typeof callView> } | null} */
  let current = null;
  /** The call that is being made ready: its media is awaited. @type {{ taken: boolean } | null} */
  let opening = null;
  /** What is asked about calls; each is answered here if another call is taken. @type {Set<() => void>} */
  const questions = new Set();
  const camera = viewers({
    changed: watching,
    joined: (call) => toast(`${nameOf(call)} watches this camera now.`),
    failed: (error) => toast(media.explain(error), "bad"),
    over,
  });

  const taken = () => current !== null || opening?.taken === true;

  function refuseOthers() {
    for (const refuse of [...questions]) refuse();
  }

  /** @param {string} kind @param {string | null} to null: all devices */
  async function start(kind, to) {
    if (current || opening) return toast("End the call first.");
    const mine = { taken: false };
    opening = mine;
    /** @type {MediaStream | null} */
    let local = null;
    try {
      local = (await SENT[kind]?.()) ?? null;
      // A ring was taken meanwhile.
      if (opening !== mine) return media.stop(local);
      const open = connection();
      if (!open) throw new Error("This device is not connected yet.");
      show(open.stream(to, local, optionsOf(kind)), /** @type {any} */ (kind), local);
    } catch (error) {
      media.stop(local);
      if (!(kind === "screen" && error.name === "NotAllowedError")) toast(media.explain(error), "bad");
    } finally {
      if (opening === mine) opening = null;
    }
  }

  /** @param {Call} call */
  async function incoming(call) {
    const kind = kindOf(call, connection()?.deviceId ?? "");
    if (kind === "shared" && watched()) return camera.serve(call);
    const name = nameOf(call);
    const chosen = await ask(() => askWhether(call, kind, questions));
    if (chosen === "ended") return missed(call, name);
    if (chosen === "decline") return call.decline();
    if (chosen === "busy") {
      toast(`${name} rang, and was told that this device is busy.`);
      return call.decline("busy");
    }
    await take(call, kind, chosen === "voice" ? media.microphone : SENT[kind]);
  }

  /** A call that this page was in before it was loaded anew. @param {Call} call */
  async function ongoing(call) {
    const kind = kindOf(call, connection()?.deviceId ?? "");
    if (kind === "shared" && watched()) return camera.serve(call);
    const kept = recall(call);
    // A screen is captured after a tap only; and what this tab did not do goes on only if the person says so.
    const known = kept !== null && kind !== "screen";
    const chosen = await ask(() => (known ? Promise.resolve("on") : askToGoOn(call, nameOf(call), questions)));
    if (chosen !== "on") return call.end(chosen === "busy" ? "busy" : undefined);
    await take(call, kind, known ? media.again(kept) : SENT[kind], kept?.off);
  }

  /** One call at a time: what is asked may have been settled by another one. @param {() => Promise<string>} question */
  async function ask(question) {
    if (taken()) return "busy";
    const chosen = await question();
    return taken() && !["ended", "decline", "end"].includes(chosen) ? "busy" : chosen;
  }

  /**
   * @param {Call} call
   * @param {import("./kinds.js").Kind} kind
   * @param {(() => Promise<MediaStream>) | undefined} get
   * @param {Off} [off]
   */
  async function take(call, kind, get, off) {
    const mine = { taken: true };
    opening = mine;
    refuseOthers();
    const getting = (get?.() ?? Promise.resolve(null)).catch((error) => {
      if (call.state !== "ended") toast(media.explain(error), "bad");
      return null;
    });
    // The browser may ask the person for longer than the other side waits.
    const local = await Promise.race([getting, call.ended.then(() => null)]);
    if (opening === mine) opening = null;
    if (call.state === "ended") {
      void getting.then(media.stop);
      return missed(call, nameOf(call));
    }
    if (!local && kind === "shared") return call.decline("no_media");
    show(call, kind, local, off);
    call.accept(local).catch(() => {
      // The view says why, as for every end.
    });
  }

  /** @param {Call} call @param {import("./kinds.js").Kind} kind @param {MediaStream | null} local @param {Off} [off] */
  function show(call, kind, local, off = { audio: false, video: false }) {
    const sent = local ?? new MediaStream();
    // Before anything is sent.
    for (const track of sent.getTracks()) track.enabled = !off[track.kind];
    const remember = () => call.state !== "ended" && keep(call, sent, off);
    const view = callView({ call, kind, local: sent, off, changed: remember });
    current = { call, view };
    refuseOthers();
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
    // Of one that was rung, its end says it.
    call.on("declined", () => call.peerId === null && toast("One device declined."));
    remember();
    call.on("state", remember);
    // A server that has forgotten the call gives it another id.
    addEventListener("pagehide", remember);
    call.ended.then((reason) => {
      removeEventListener("pagehide", remember);
      forget();
      media.stop(sent);
      media.stop(local);
      view.stop();
      if (current?.call === call) {
        current = null;
        document.documentElement.classList.remove("in-call");
        document.querySelector("#app")?.removeAttribute("inert");
        document.title = before;
      }
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
    /** Nobody sees the camera from now on. */
    unwatch: () => camera.stop(),
    /** Names may have changed. */
    update() {
      current?.view.update();
      watching(camera.watching());
    },
  };
}

/** @param {Call} call */
const nameOf = (call) => call.peer?.device_name ?? call.peerId ?? "A device";
