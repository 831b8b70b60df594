// A call on the screen, from the ring to the end.

import { h, put, say } from "../dom.js";
import { duration } from "../format.js";
import { deviceIcon } from "../icons.js";
import { button } from "../parts.js";
import { chat } from "./chat.js";
import { controls } from "./controls.js";
import { callTitle } from "./kinds.js";
import { panel } from "./panel.js";
import { remote } from "./remote.js";

/**
 * @param {object} parts
 * @param {import("../../client/index.js").Call} parts.call
 * @param {import("./kinds.js").Kind} parts.kind
 * @param {MediaStream} parts.local
 * @param {import("./memory.js").Off} parts.off what of it is turned off
 * @param {() => void} parts.changed what is sent did
 */
export function callView({ call, kind, local, off, changed }) {
  const title = h("h1", { class: "call-name", tabindex: "-1" });
  const line = h("div", { class: "call-line" });
  const time = h("span", { class: "num call-time" });
  const word = h("p", { class: "stage-word", role: "status" });
  let startedAt = call.state === "active" ? Date.now() : 0;
  const face = h("div", { class: "stage-face", aria: { hidden: "true" } });
  const preview = h("video", { class: "local-video", autoplay: true, playsinline: true, muted: true, aria: { label: "Your own picture" } });
  const localBox = h("div", { class: "local", hidden: true }, preview, h("span", { class: "local-name" }, "You"));
  const unmute = h("div", { class: "unmute", hidden: true });
  const stage = h("div", { class: `stage ${kind}` });
  const pictures = remote(call, {
    changed: (seen) => {
      stage.dataset.pictures = String(seen);
      update();
    },
    blocked: (start) => {
      unmute.hidden = false;
      put(unmute, button("Turn the sound on", () => [start(), (unmute.hidden = true)], { kind: "primary", icon: "speaker" }));
    },
  });
  put(stage, pictures.element, h("div", { class: "stage-middle" }, face, word), localBox, unmute);
  const side = panel(call);
  side.brief(line);
  side.element.hidden = localStorage.getItem("streamz.panel") === "hidden" || !matchMedia("(min-width: 900px)").matches;
  const talk = kind === "data" ? chat(call) : null;
  const bar = controls({ call, kind, local, off, stage, panel: side.element, changed: () => [show(), changed()], hangUp: () => call.end() });
  const element = h("section", { class: "call", role: "dialog", aria: { modal: "true", label: "Call" } },
    h("header", { class: "call-top" }, h("div", { class: "call-names" }, title, h("p", { class: "call-kind soft" }, callTitle(kind), time)), line),
    h("div", { class: "call-main" }, talk ? talk.element : stage, side.element), bar.element);


  /** What is sent, as it looks. */
  function show() {
    const [track] = local.getVideoTracks();
    localBox.hidden = !track;
    localBox.classList.toggle("off", track?.enabled === false);
    localBox.classList.toggle("mirrored", kind !== "screen" && track?.getSettings().facingMode !== "environment");
    if (preview.srcObject !== local) preview.srcObject = local;
  }

  function update() {
    const peer = call.peer;
    const name = peer?.device_name ?? (call.peerId === null ? "All devices" : call.peerId);
    say(title, name);
    if (face.dataset.type !== (peer?.device_type ?? "")) put(face, deviceIcon(peer?.device_type ?? (call.peerId === null ? "phone" : "")));
    face.dataset.type = peer?.device_type ?? "";
    const seen = Number(stage.dataset.pictures ?? 0) > 0;
    const waiting = call.state === "ringing" ? "Ringing…" : call.media === "connecting" ? "Connecting…" : call.media === "interrupted" ? "The path broke. Looking for another one…" : "";
    const calm = kind === "shared" || kind === "screen" ? `${name} sees ${kind === "screen" ? "your screen" : "your camera"}` : kind === "audio" ? "" : seen ? "" : "No picture";
    say(word, waiting || calm);
    stage.classList.toggle("seen", seen);
    stage.classList.toggle("waiting", waiting !== "");
    stage.classList.toggle("rings", call.state === "ringing");
    stage.classList.toggle("sends", kind === "shared" || kind === "screen");
    if (call.state === "active" && !startedAt) startedAt = Date.now();
  }

  const timer = setInterval(() => say(time, startedAt ? ` · ${duration(Date.now() - startedAt)}` : ""), 500);
  const offs = [call.on("state", update), call.on("media", (media) => [update(), media === "connected" && void side.look()])];
  show();
  update();
  return {
    element,
    update,
    focus: () => title.focus(),
    stop() {
      for (const off of offs) off();
      clearInterval(timer);
      side.stop();
      bar.stop();
      preview.srcObject = null;
      if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
      element.remove();
    },
  };
}
