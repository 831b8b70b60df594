// Somebody rings: seen, heard, and in the title of the page.

import { h } from "../dom.js";
import { deviceIcon, icon } from "../icons.js";
import { button, dialog } from "../parts.js";
import { ring } from "../sound.js";
import { ringText } from "./kinds.js";

/**
 * Resolves with what the person chose; with `ended` if the ring was over before.
 * @param {import("../../client/index.js").Call} call
 * @param {import("./kinds.js").Kind} kind
 * @returns {Promise<"accept" | "voice" | "decline" | "ended">}
 */
export async function askWhether(call, kind) {
  const peer = call.peer;
  const text = ringText(kind, call.type, peer?.device_name ?? call.peerId ?? "A device");
  const silence = ring("incoming");
  const unflash = flash(`${text.title} rings`);
  let action;
  const box = dialog({ title: text.title, kind: "ring", closable: false }, (close) => {
    action = button(text.accept, () => close("accept"), { kind: "answer", icon: text.icon });
    return [
      h("p", { class: "ring-text" }, text.text),
      h("div", { class: "ring-face", aria: { hidden: "true" } }, h("span", { class: "wave" }), h("span", { class: "wave late" }), h("span", { class: "ring-tile" }, deviceIcon(peer?.device_type ?? ""))),
      h("div", { class: "ring-actions" },
        button("Decline", () => close("decline"), { kind: "decline", icon: "hangup" }), action),
      kind === "camera" && h("button", { class: "text-button", type: "button", onclick: () => close("voice") }, icon("videoOff"), "Answer without camera"),
    ];
  });
  box.element.addEventListener("cancel", () => box.close("decline"));
  action?.focus();
  const off = call.on("state", (state) => state === "ended" && box.close("ended"));
  const chosen = await box.closed;
  off();
  silence();
  unflash();
  return /** @type {any} */ (chosen || "decline");
}

/** The title of the page goes to and fro, for those who look at another tab. */
function flash(text) {
  const before = document.title;
  let on = false;
  const turn = () => {
    on = !on;
    document.title = on ? `● ${text}` : before;
  };
  turn();
  const timer = setInterval(turn, 1_000);
  return () => {
    clearInterval(timer);
    document.title = before;
  };
}

/** Puts a question about a call that the page before this one left. @param {string} name */
export async function askToGoOn(name) {
  const box = dialog({ title: "Your call goes on", text: `This page was loaded anew during a stream with ${name}.`, closable: false }, (close) => [
    h("div", { class: "dialog-actions" }, button("End it", () => close("end")), button("Go on", () => close("on"), { kind: "primary" })),
  ]);
  return (await box.closed) === "on";
}
