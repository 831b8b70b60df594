// Somebody rings: seen, heard, and in the title of the page.

import { h } from "../dom.js";
import { deviceIcon, icon } from "../icons.js";
import { button, dialog } from "../parts.js";
import { ring } from "../sound.js";
import { ringText } from "./kinds.js";

/**
 * Resolves with what the person chose; with `ended` if the ring was over before, with `busy` if it was refused.
 * @param {import("../../client/index.js").Call} call
 * @param {import("./kinds.js").Kind} kind
 * @param {Set<() => void>} questions has what refuses the ring, while it is asked
 * @returns {Promise<"accept" | "voice" | "decline" | "ended" | "busy">}
 */
export async function askWhether(call, kind, questions) {
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
  const chosen = await answered(call, box, questions, () => [silence(), unflash()]);
  return /** @type {any} */ (chosen || "decline");
}

/**
 * The answer; the call's end is one, and so is that another call was taken.
 * @param {import("../../client/index.js").Call} call
 * @param {ReturnType<typeof dialog>} box
 * @param {Set<() => void>} questions
 * @param {() => void} [calm] what was to be heard and seen is over
 */
async function answered(call, box, questions, calm = () => {}) {
  const refuse = () => {
    // At once: whoever refuses gives the page another title.
    calm();
    calm = () => {};
    box.close("busy");
  };
  questions.add(refuse);
  const off = call.on("state", (state) => state === "ended" && box.close("ended"));
  const chosen = await box.closed;
  off();
  questions.delete(refuse);
  calm();
  return chosen;
}

/** Who rings, in the order in which they began. @type {string[]} */
const ringing = [];
let plain = "";
let timer = 0;

/** The title of the page goes to and fro, for those who look at another tab. */
function flash(text) {
  let on = false;
  const turn = () => {
    on = !on;
    document.title = on ? `● ${ringing.at(-1)}` : plain;
  };
  if (ringing.length === 0) {
    plain = document.title;
    timer = setInterval(turn, 1_000);
  }
  ringing.push(text);
  turn();
  return () => {
    ringing.splice(ringing.indexOf(text), 1);
    if (ringing.length > 0) return;
    clearInterval(timer);
    document.title = plain;
  };
}

/**
 * Puts a question about a call that the page before this one left: `on`, `end`, `ended` or `busy`.
 * @param {import("../../client/index.js").Call} call
 * @param {string} name
 * @param {Set<() => void>} questions
 */
export async function askToGoOn(call, name, questions) {
  const box = dialog({ title: "Your call goes on", text: `This page was loaded anew during a stream with ${name}.`, closable: false }, (close) => [
    h("div", { class: "dialog-actions" }, button("End it", () => close("end")), button("Go on", () => close("on"), { kind: "primary" })),
  ]);
  return answered(call, box, questions);
}
