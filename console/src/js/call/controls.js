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
 * @param {HTMLElement} parts.stage what fills the screen
 * @param {HTMLElement} parts.panel
 * @param {() => void} parts.changed the local tracks did
 * @param {() => void} parts.hangUp
 */
export function controls({ call, kind, local, stage, panel, changed, hangUp }) {
  const both = kind === "camera" || kind === "audio";
  /** @type {MediaStream | null} */
  let shared = null;
  const off = { audio: false, video: false };

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
      const stream = await attempt(get);
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
    const stream = await attempt(media.screen);
    if (!stream) return;
    if (call.state === "ended") return media.stop(stream);
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

  async function swapCamera() {
    const [track] = local.getVideoTracks();
    if (!track) return;
    const next = await attempt(() => media.nextCamera(track));
    if (!next) return;
    await call.replaceTrack(track, next);
    local.removeTrack(track);
    local.addTrack(next);
    track.stop();
    changed();
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

  async function attempt(get) {
    try {
      return await get();
    } catch (error) {
      // Whoever closes the browser's own dialog knows what they did.
      if (!(get === media.screen && error.name === "NotAllowedError")) toast(media.explain(error), "bad");
      return null;
    }
  }

  swap.hidden = true;
  media.hasSeveralCameras().then((several) => {
    swap.hidden = !several || local.getVideoTracks().length === 0 || kind === "screen";
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
