// Parts that several pages use: buttons, menus, dialogs, words that pass by.

import { h, put } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @param {string} text
 * @param {() => void} act
 * @param {{ kind?: string, icon?: string, id?: string, type?: string, disabled?: boolean }} [options]
 */
export function button(text, act, { kind = "plain", icon: name, type = "button", ...rest } = {}) {
  return h("button", { class: `button ${kind}`, type, onclick: act, ...rest }, name && icon(name), h("span", {}, text));
}

/** A button that is only a picture; its name is for screen readers, and shown on hover. */
export function iconButton(name, label, act, { kind = "", ...rest } = {}) {
  return h("button", { class: `icon-button ${kind}`, type: "button", title: label, aria: { label }, onclick: act, ...rest }, icon(name));
}

/** Says something in passing; screen readers say it too. @param {string} text @param {"" | "bad"} [kind] */
export function toast(text, kind = "") {
  const box = h("p", { class: `toast ${kind}` }, text);
  document.querySelector("#toasts")?.append(box);
  setTimeout(() => box.remove(), kind === "bad" ? 8_000 : 4_500);
}

/**
 * A dialog; the browser keeps the focus in it and gives it back. Resolves when it closes.
 * @param {{ title: string, text?: string, kind?: string, closable?: boolean }} about
 * @param {(close: (value?: string) => void) => any[]} content
 * @returns {{ element: HTMLDialogElement, closed: Promise<string>, close: (value?: string) => void }}
 */
export function dialog({ title, text, kind = "", closable = true }, content) {
  const id = `d${Math.random().toString(36).slice(2)}`;
  const element = h("dialog", { class: `dialog ${kind}`, aria: { labelledby: id } });
  const close = (value = "") => element.open && element.close(value);
  const top = h("header", { class: "dialog-top" }, h("h2", { id }, title),
    closable && iconButton("x", "Close", () => close()));
  put(element, h("div", { class: "dialog-body" }, top, text && h("p", { class: "soft" }, text), content(close)));
  const closed = new Promise((resolve) => {
    element.addEventListener("close", () => {
      element.remove();
      resolve(element.returnValue);
    }, { once: true });
  });
  if (closable) element.addEventListener("click", (event) => event.target === element && close());
  else element.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(element);
  element.showModal();
  return { element, closed, close };
}

/** @param {{ title: string, text: string, action: string }} question @returns {Promise<boolean>} */
export async function confirm({ title, text, action }) {
  const asked = dialog({ title, text }, (close) => [
    h("div", { class: "dialog-actions" }, button("Cancel", () => close()), button(action, () => close("yes"), { kind: "danger" })),
  ]);
  return (await asked.closed) === "yes";
}

/**
 * A button with a menu: arrow keys, Escape, and a click elsewhere do what they should.
 * @param {HTMLButtonElement} opener
 * @param {() => ({ text: string, icon?: string, kind?: string, checked?: boolean, act: () => void } | HTMLElement)[]} entries
 */
export function menu(opener, entries) {
  const list = h("div", { class: "menu", role: "menu", hidden: true });
  const holder = h("div", { class: "menu-holder" }, opener, list);
  opener.setAttribute("aria-haspopup", "menu");
  opener.setAttribute("aria-expanded", "false");
  const items = () => [...list.querySelectorAll("button")];
  const show = (on) => {
    list.hidden = !on;
    opener.setAttribute("aria-expanded", String(on));
    if (!on) return document.removeEventListener("pointerdown", outside, true);
    put(list, entries().map((entry) => (entry instanceof HTMLElement ? entry : item(entry))));
    document.addEventListener("pointerdown", outside, true);
    // On a narrow page it opens to the side that has room.
    list.classList.toggle("to-right", holder.getBoundingClientRect().right < list.offsetWidth + 12);
    items()[0]?.focus();
  };
  const outside = (event) => {
    if (!holder.contains(event.target)) show(false);
  };
  const item = ({ text, icon: name, kind = "", checked, act }) => {
    const role = checked === undefined ? "menuitem" : "menuitemradio";
    const choose = () => {
      show(false);
      opener.focus();
      act();
    };
    return h("button", { class: `menu-item ${kind}`, type: "button", role, aria: { checked }, tabindex: "-1", onclick: choose },
      name && icon(name), h("span", {}, text), checked && icon("check", "menu-check"));
  };
  opener.addEventListener("click", () => show(list.hidden));
  holder.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const all = items();
    const at = all.indexOf(/** @type {any} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[to % all.length]?.focus();
    else if (event.key === "Escape") [show(false), opener.focus()];
    else return void (event.key === "Tab" && show(false));
    event.preventDefault();
    event.stopPropagation();
  });
  return holder;
}

/** A field with its label and its error. */
export function field({ label, name, hint, ...input }) {
  const error = h("p", { class: "field-error", id: `${name}-error`, hidden: true });
  const box = h(input.options ? "select" : "input", { class: "input", id: name, name, aria: { describedby: `${name}-hint ${name}-error` }, ...attributes(input) },
    (input.options ?? []).map(([value, text]) => h("option", { value, selected: value === input.value }, text)));
  const element = h("div", { class: "field" }, h("label", { for: name }, label), box,
    hint && h("p", { class: "field-hint", id: `${name}-hint` }, hint), error);
  return {
    element,
    input: box,
    /** @param {string} text empty: nothing is wrong */
    wrong(text) {
      error.hidden = text === "";
      error.textContent = text;
      box.setAttribute("aria-invalid", String(text !== ""));
    },
  };
}

function attributes({ options, ...rest }) {
  return options ? { ...rest, value: undefined } : rest;
}
