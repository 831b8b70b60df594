// What a person can do in a call.

import { h, setAria, put } from "../dom.js";
import { icon } from "../icons.js";
import * as media from "../media.js";
import { toast } from "../parts.js";

/**
 * @param {object} parts
 * @param {import("../../client/index.js").Call} parts.call
 * @param {import("./kinds.js").Kind} parts.kind
 * @param {MediaStream} parts.local what is sent; tracks are added and taken away here
 * @param {import("./memory.js").Off} parts.off what of it is turned off; set here
 * @param {HTMLElement} parts.stage what fills the screen
 * @param {HTMLElement} parts.panel
 * @param {() => void} parts.changed the local tracks did
 * @param {() => void} parts.hangUp
 */
export function controls({ call, kind, local, off, stage, panel, changed, hangUp }) {
  const both = kind === "camera" || kind === "audio";
  /** @type {MediaStream | null} */
  let shared = null;
  let several = false;
  /** What is being asked for: a second press asks for nothing more. */
  const waiting = new Set();

  const mic = toggle("mic", "micOff", "Mute", "Unmute", () => turn("audio", media.microphone));
  const camera = toggle("video", "videoOff", "Turn camera off", "Turn camera on", () => turn("video", media.picture));
  const screen = toggle("screen", "screen", "Share your screen", "Stop sharing your screen", () => share());
  const swap = round("swap", "Use the other camera", () => void swapCamera());
  const full = toggle("expand", "shrink", "Full screen", "Leave full screen", () => fullScreen());
  const details = toggle("pulse", "pulse", "Show the connection", "Hide the connection", () => showPanel(panel.hidden));
  const end = h("button", { class: "round hangup", type: "button", title: "Hang up", aria: { label: "Hang up" }, onclick: hangUp }, icon("hangup"));
  const element = h("div", { class: "controls", role: "toolbar", aria: { label: "Call" } },
    mic.element, camera.element, swap, screen.element, full.element, details.element, end);

  function draw() {
    const has = (type) => local.getTracks().some((track) => track.kind === type && track !== shared?.getVideoTracks()[0]);
    mic.element.hidden = !both && !has("audio");
    camera.element.hidden = !both && !(kind === "shared" && has("video"));
    swap.hidden = !several || local.getVideoTracks().length === 0 || kind === "screen";
    screen.element.hidden = !both || !media.canShareScreen();
    full.element.hidden = kind === "data" || kind === "audio" || !document.fullscreenEnabled;
    mic.set(off.audio || !has("audio"));
    camera.set(off.video || !has("video"));
    screen.set(shared !== null);
    full.set(document.fullscreenElement === stage);
    details.set(!panel.hidden);
  }

  /** Off and on again; what was not sent from the start is added. */
  async function turn(type, get) {
    const own = local.getTracks().filter((track) => track.kind === type && !shared?.getTracks().includes(track));
    if (own.length === 0) {
      const stream = await once(type, () => attempt(get));
      if (!stream) return;
      for (const track of stream.getTracks()) {
        local.addTrack(track);
        call.addTrack(track, local);
      }
      off[type] = false;
    } else {
      off[type] = !off[type];
      for (const track of own) track.enabled = !off[type];
    }
    changed();
    draw();
  }

  async function share() {
    if (shared) return unshare();
    const stream = await once("screen", () => attempt(media.screen));
    if (!stream) return;
    shared = stream;
    for (const track of stream.getTracks()) call.addTrack(track, stream);
    // The browser has a button of its own to stop it.
    stream.getVideoTracks()[0]?.addEventListener("ended", unshare, { once: true });
    draw();
  }

  function unshare() {
    if (!shared) return;
    for (const track of shared.getTracks()) if (call.state !== "ended") call.removeTrack(track);
    media.stop(shared);
    shared = null;
    draw();
  }

  /** Many phones have one camera at a time: the one is closed before the other is opened, and opened again if need be. */
  async function swapCamera() {
    const [track] = local.getVideoTracks();
    if (!track) return;
    const opened = await once("video", async () => {
      const ids = await media.cameras();
      const own = track.getSettings().deviceId ?? "";
      track.stop();
      const next = ids[(ids.indexOf(own) + 1) % ids.length];
      const other = await attempt(() => media.cameraOf(next));
      return new MediaStream([other ?? (await media.cameraOf(own).catch(() => null))].filter((each) => each !== null));
    });
    if (!opened) return;
    const [next] = opened.getTracks();
    if (next) {
      next.enabled = !off.video;
      await call.replaceTrack(track, next).catch(() => media.stop(opened));
    } else {
      call.removeTrack(track);
    }
    local.removeTrack(track);
    if (next) local.addTrack(next);
    changed();
    draw();
  }

  async function fullScreen() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await stage.requestFullscreen().catch(() => toast("This browser does not allow full screen here.", "bad"));
  }

  function showPanel(on) {
    panel.hidden = !on;
    localStorage.setItem("streamz.panel", on ? "shown" : "hidden");
    draw();
  }

  /**
   * What is asked for one after the other; nothing, if the call ended while the browser asked the person.
   * @param {string} what
   * @param {() => Promise<MediaStream | null>} get
   */
  async function once(what, get) {
    if (waiting.has(what)) return null;
    waiting.add(what);
    try {
      const stream = await get();
      if (call.state !== "ended") return stream;
      media.stop(stream);
      return null;
    } finally {
      waiting.delete(what);
    }
  }

  async function attempt(get) {
    try {
      return await get();
    } catch (error) {
      // Whoever closes the browser's own dialog knows what they did.
      if (call.state !== "ended" && !(get === media.screen && error.name === "NotAllowedError")) toast(media.explain(error), "bad");
      return null;
    }
  }

  media.cameras().then((ids) => {
    several = ids.length > 1;
    draw();
  }, () => {});
  document.addEventListener("fullscreenchange", draw);
  draw();
  return {
    element,
    draw,
    /** Where the focus goes when the call begins. */
    first: end,
    stop() {
      document.removeEventListener("fullscreenchange", draw);
      media.stop(shared);
      shared = null;
    },
  };
}

function round(name, label, act) {
  return h("button", { class: "round", type: "button", title: label, aria: { label }, onclick: act }, icon(name));
}

/** A button with two states, whose name says what it will do. */
function toggle(name, onName, label, onLabel, act) {
  const element = round(name, label, act);
  return {
    element,
    set(on) {
      put(element, icon(on ? onName : name));
      setAria(element, "label", on ? onLabel : label);
      element.title = on ? onLabel : label;
      element.classList.toggle("on", on);
    },
  };
}
