// Messages and files over a data channel. A text is a text, so that any other client understands it; a file is a line
// that announces it, and then its bytes.

import { h } from "../dom.js";
import { clock, size } from "../format.js";
import { icon } from "../icons.js";
import { iconButton, toast } from "../parts.js";
import { room } from "./buffer.js";

const CHUNK = 16_384;
const BUFFERED = 1_048_576;
const FILE_MAX = 256 * 1_048_576;
const MARK = '{"streamz":"file"';

/** @param {import("../../client/index.js").Call} call */
export function chat(call) {
  const log = h("div", { class: "chat-log", role: "log", aria: { label: "Messages", live: "polite" }, tabindex: "0" });
  const input = h("input", { class: "input", type: "text", placeholder: "Message", aria: { label: "Message" }, autocomplete: "off", maxlength: "4000" });
  const picker = h("input", { type: "file", hidden: true, multiple: true, aria: { label: "Files to send" } });
  const attach = iconButton("clip", "Send a file", () => picker.click(), { kind: "ghost" });
  const submit = iconButton("send", "Send", () => {}, { kind: "primary", type: "submit" });
  const form = h("form", { class: "chat-form" }, attach, picker, input, submit);
  const element = h("section", { class: "chat", aria: { label: "Messages and files" } }, log, form);
  /** @type {RTCDataChannel | undefined} */
  let channel;
  /** What is on its way here. @type {{ name: string, size: number, type: string, got: number, parts: ArrayBuffer[], line: HTMLElement } | undefined} */
  let arriving;
  let sending = Promise.resolve();
  usable(false);
  call.on("channel", (opened) => opened.label === "data" && attachTo(opened));
  call.channel.then(attachTo, () => {});

  /** @param {RTCDataChannel} opened */
  function attachTo(opened) {
    if (opened === channel) return;
    cutOff();
    channel = opened;
    opened.binaryType = "arraybuffer";
    opened.bufferedAmountLowThreshold = BUFFERED / 2;
    opened.onmessage = ({ data }) => (typeof data === "string" ? text(data) : bytes(data));
    opened.onclose = () => {
      if (opened !== channel) return;
      cutOff();
      usable(false);
    };
    const ready = () => {
      usable(true);
      input.focus();
    };
    if (opened.readyState === "open") ready();
    else opened.onopen = ready;
  }

  function usable(on) {
    for (const part of [input, attach, submit]) part.disabled = !on;
    input.placeholder = on ? "Message" : "Connecting…";
  }

  function text(data) {
    if (!data.startsWith(MARK)) return void add("theirs", data);
    try {
      const { name, size: length, type } = JSON.parse(data);
      if (!(length >= 0 && length <= FILE_MAX)) return void add("theirs", `${name} is too large to be taken.`);
      arriving = { name: String(name).slice(0, 255), size: length, type: String(type), got: 0, parts: [], line: add("theirs", "") };
      progress(arriving.line, arriving.name, 0, length);
      if (length === 0) finish();
    } catch {
      add("theirs", data);
    }
  }

  function bytes(data) {
    if (!arriving) return void add("theirs", size(data.byteLength));
    arriving.parts.push(data);
    arriving.got += data.byteLength;
    progress(arriving.line, arriving.name, arriving.got, arriving.size);
    if (arriving.got >= arriving.size) finish();
  }

  function finish() {
    const { name, parts, line, size: length } = arriving;
    arriving = undefined;
    // The type that the other side claims is not believed: a file is saved, never shown.
    const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
    line.replaceChildren(h("a", { class: "file", href: url, download: name }, icon("down"), h("span", {}, name), h("span", { class: "faint" }, size(length))));
    call.ended.then(() => setTimeout(() => URL.revokeObjectURL(url), 60_000));
  }

  /** The rest of a file that was on its way here will not come. */
  function cutOff() {
    if (!arriving) return;
    failed(arriving.line, arriving.name, "did not arrive");
    arriving = undefined;
  }

  function add(whose, words) {
    const body = h("p", { class: "bubble" }, words);
    const who = whose === "mine" ? "You" : call.peer?.device_name ?? "The other device";
    log.append(h("div", { class: `message ${whose}` }, h("span", { class: "quiet" }, `${who}: `), body, h("span", { class: "faint small num" }, clock(Date.now()))));
    log.scrollTop = log.scrollHeight;
    return body;
  }

  function progress(line, name, done, all) {
    const part = all === 0 ? 100 : Math.round((done / all) * 100);
    line.replaceChildren(h("span", { class: "file" }, icon("clip"), h("span", {}, name), h("span", { class: "faint num" }, part < 100 ? `${part} %` : size(all))));
  }

  function failed(line, name, what) {
    line.replaceChildren(h("span", { class: "file" }, icon("warn"), h("span", {}, name), h("span", { class: "faint" }, what)));
  }

  async function sendFile(file) {
    if (file.size > FILE_MAX) return toast(`${file.name} is larger than ${size(FILE_MAX)}.`, "bad");
    const line = add("mine", "");
    // Another one may take its place; the parts of a file are of one.
    const through = channel;
    progress(line, file.name, 0, file.size);
    try {
      await sendParts(file, through, line);
    } catch (error) {
      failed(line, file.name, "was not sent");
      throw error;
    }
  }

  /** @param {File} file @param {RTCDataChannel} through @param {HTMLElement} line */
  async function sendParts(file, through, line) {
    through.send(`${MARK},"name":${JSON.stringify(file.name)},"size":${file.size},"type":${JSON.stringify(file.type)}}`);
    for (let at = 0; at < file.size; at += CHUNK) {
      await room(through, BUFFERED);
      through.send(await file.slice(at, at + CHUNK).arrayBuffer());
      progress(line, file.name, Math.min(at + CHUNK, file.size), file.size);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const words = input.value.trim();
    if (!words || channel?.readyState !== "open") return;
    // Behind a file that is on its way, whose bytes must stay together.
    sending = sending.then(() => channel.send(words)).catch(() => toast("The message was not sent.", "bad"));
    add("mine", words);
    input.value = "";
  });
  picker.addEventListener("change", () => {
    for (const file of picker.files) sending = sending.then(() => sendFile(file)).catch(() => toast(`${file.name} was not sent.`, "bad"));
    picker.value = "";
  });
  return { element, focus: () => input.focus() };
}
