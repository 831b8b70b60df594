// The devices, live.

import { h, put, say } from "./dom.js";
import { ago, count } from "./format.js";
import { DEVICE_TYPES, deviceIcon, icon, typeName } from "./icons.js";
import { canCapture, canShareScreen } from "./media.js";
import { button, confirm, dialog, field, iconButton, menu, toast } from "./parts.js";
import { addDevice } from "./add.js";

/**
 * @param {object} parts
 * @param {import("../client/index.js").Streamz} parts.streamz
 * @param {() => import("./identity.js").Identity} parts.identity
 * @param {(kind: string, to: string | null) => void} parts.start
 * @param {(device: import("../client/index.js").Device) => void} parts.renamed this device was, from here: only others are told by the server
 * @param {{ watched: () => boolean, setWatched: (on: boolean) => void, stop: () => void }} parts.sharing
 */
export function devicesPage({ streamz, identity, start, renamed, sharing }) {
  const cards = new Map();
  const grid = h("ul", { class: "cards" });
  const summary = h("p", { class: "soft", role: "status" });
  const ringAll = button("Ring all", () => {}, { icon: "ring" });
  ringAll.append(icon("down"));
  const ringAs = menu(ringAll, () => [
    { text: "Video call", icon: "video", act: () => start("camera", null) },
    { text: "Audio call", icon: "call", act: () => start("audio", null) },
    ...(canShareScreen() ? [{ text: "Share the screen", icon: "screen", act: () => start("screen", null) }] : []),
  ]);
  const add = button("Add device", () => addDevice(), { kind: "primary", icon: "plus" });
  const own = h("section", { class: "own", aria: { label: "This device" } });
  const watching = h("p", { class: "strong" });
  const watched = h("div", { class: "watched", hidden: true }, h("span", { class: "tile live" }, icon("eye")), watching,
    button("Stop", () => sharing.stop(), { aria: { label: "Stop showing this camera" } }));
  const empty = emptyState();
  const insecure = !canCapture() && h("p", { class: "notice" }, icon("warn"), h("span", {},
    "This page is not secure, so the browser keeps camera and microphone to itself. Open Streamz over https to stream from here; you can still watch."));
  const element = h("div", { class: "devices" },
    h("header", { class: "page-head" }, h("div", {}, h("h1", { tabindex: "-1" }, "Devices"), summary), h("div", { class: "page-actions" }, ringAs, add)),
    insecure, own, watched, h("h2", { class: "section" }, "Your other devices"), grid, empty);
  const title = element.querySelector(".section");
  /** When devices went, as far as it was seen here: the server's list is older. @type {Map<string, string>} */
  const left = new Map();

  function show(devices) {
    drawOwn();
    const others = devices.filter(({ device_id }) => device_id !== identity().id);
    others.sort((a, b) => Number(b.is_online) - Number(a.is_online) || a.device_name.localeCompare(b.device_name));
    for (const [id, card] of cards) {
      if (others.some(({ device_id }) => device_id === id)) continue;
      card.element.remove();
      cards.delete(id);
    }
    for (const [at, device] of others.entries()) {
      const card = cards.get(device.device_id) ?? newCard(device);
      card.show(device);
      // Moving an element takes the focus from it.
      if (grid.children[at] !== card.element) grid.insertBefore(card.element, grid.children[at] ?? null);
    }
    const online = devices.filter(({ is_online }) => is_online).length;
    say(summary, devices.length === 0 ? "Connecting…" : `${count(devices.length, "device")}, ${online} online`);
    empty.hidden = others.length > 0 || devices.length === 0;
    title.hidden = others.length === 0;
    ringAll.disabled = !others.some(({ is_online }) => is_online);
  }

  const ownKey = () => JSON.stringify([identity().name, identity().type, sharing.watched()]);

  function drawOwn() {
    const { name, type } = identity();
    if (own.dataset.key === ownKey()) return;
    own.dataset.key = ownKey();
    const toggle = h("button", { class: "switch", type: "button", role: "switch", aria: { checked: sharing.watched(), labelledby: "watch-name", describedby: "watch-text" } });
    toggle.addEventListener("click", () => {
      sharing.setWatched(!sharing.watched());
      toggle.setAttribute("aria-checked", String(sharing.watched()));
      // It shows it already, and has the focus.
      own.dataset.key = ownKey();
    });
    put(own,
      h("div", { class: "own-id" },
        h("span", { class: "tile live" }, deviceIcon(type)),
        h("div", { class: "own-names" }, h("p", { class: "eyebrow" }, "This device"), h("h2", {}, name), h("p", { class: "soft small" }, typeName(type))),
        iconButton("edit", "Change name and type of this device", () => edit({ device_id: identity().id, device_name: name, device_type: type }))),
      h("div", { class: "own-option" },
        h("div", {}, h("p", { id: "watch-name", class: "strong" }, "Answer as a camera"),
          h("p", { class: "soft small", id: "watch-text" }, "Your other devices may see its picture without a ring.")),
        toggle));
  }

  function newCard(device) {
    const name = h("h3", { class: "card-name" });
    const facts = h("p", { class: "card-facts small" });
    const tile = h("span", { class: "tile" });
    let current = device;
    const label = (text) => () => `${text} ${current.device_name}`;
    const actions = [
      ["Video call", "camera", "video", "primary"], ["Audio call", "audio", "call"], ["Share the screen with", "screen", "screen"],
      ["Ask for the picture of", "pull", "eye"], ["Messages and files with", "data", "chat"],
    ].map(([text, kind, picture, main]) => {
      const act = () => start(kind, current.device_id);
      const made = main ? button(text, act, { kind: "primary", icon: picture }) : iconButton(picture, text, act);
      return { made, label: label(text) };
    });
    const more = iconButton("more", "", () => {}, { kind: "ghost" });
    const options = menu(more, () => [
      { text: "Rename", icon: "edit", act: () => edit(current) },
      { text: "Remove", icon: "trash", kind: "bad", act: () => remove(current) },
    ]);
    const element = h("li", { class: "card" },
      h("div", { class: "card-top" }, tile, h("div", { class: "card-names" }, name, facts), options),
      h("div", { class: "card-actions" }, actions.map(({ made }) => made)));
    const card = {
      element,
      show(next) {
        if (current.is_online && !next.is_online) left.set(next.device_id, new Date().toISOString());
        current = next;
        say(name, next.device_name);
        const seen = left.get(next.device_id) ?? next.last_seen;
        const presence = next.is_online ? "Online" : ago(seen);
        put(facts, h("span", { class: next.is_online ? "online" : "soft" }, presence), h("span", { class: "faint" }, ` · ${typeName(next.device_type)}`));
        element.classList.toggle("away", !next.is_online);
        tile.classList.toggle("live", next.is_online);
        if (tile.dataset.type !== next.device_type) put(tile, deviceIcon(next.device_type));
        tile.dataset.type = next.device_type;
        more.setAttribute("aria-label", `More for ${next.device_name}`);
        for (const { made, label } of actions) {
          made.disabled = !next.is_online;
          made.setAttribute("aria-label", label());
          made.title = label();
        }
      },
    };
    cards.set(device.device_id, card);
    return card;
  }

  function edit(device) {
    const name = field({ label: "Name", name: "device-name", value: device.device_name, maxlength: "255", required: true, autocomplete: "off" });
    const known = DEVICE_TYPES.some(([type]) => type === device.device_type);
    const options = known ? DEVICE_TYPES : [[device.device_type, typeName(device.device_type)], ...DEVICE_TYPES];
    const type = field({ label: "Type", name: "device-type", options, value: device.device_type });
    const box = dialog({ title: "Rename device" }, (close) => {
      const save = async (event) => {
        event.preventDefault();
        const given = name.input.value.trim();
        name.wrong(given ? "" : "A name, please.");
        if (!given) return name.input.focus();
        try {
          const updated = await streamz.devices.update(device.device_id, { name: given, type: type.input.value });
          if (updated.device_id === identity().id) renamed(updated);
          close("saved");
        } catch (error) {
          name.wrong(error.message);
        }
      };
      return [h("form", { class: "stack", novalidate: true, onsubmit: save }, name.element, type.element,
        h("div", { class: "dialog-actions" }, button("Cancel", () => close()), button("Save", () => {}, { kind: "primary", type: "submit" })))];
    });
    name.input.select();
    return box;
  }

  async function remove(device) {
    const sure = await confirm({
      title: `Remove ${device.device_name}?`,
      text: "It goes offline, and its calls end. It can join again by signing in.",
      action: "Remove",
    });
    if (!sure) return;
    try {
      await streamz.devices.remove(device.device_id);
      toast(`${device.device_name} was removed.`);
    } catch (error) {
      toast(error.message, "bad");
    }
  }

  /** Who sees this device's camera. @param {string[]} names */
  function watch(names) {
    watched.hidden = names.length === 0;
    say(watching, names.length === 0 ? "" : names.length === 1 ? `${names[0]} watches this camera` : `${count(names.length, "device")} watch this camera`);
    watching.title = names.join(", ");
  }

  return { element, show, drawOwn, watch };
}

function emptyState() {
  return h("div", { class: "empty", hidden: true },
    h("div", { class: "empty-art", aria: { hidden: "true" } }, ["phone", "tv", "laptop"].map((name) => h("span", { class: "tile" }, icon(name, "device-icon")))),
    h("h2", {}, "Now open Streamz on another device"),
    h("p", { class: "soft" }, "Sign in there with the same account. It appears here the moment it is online, and one tap starts a call. A second tab does for a try."),
    button("Add a device", () => addDevice(), { kind: "primary", icon: "plus" }));
}
