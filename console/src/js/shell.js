// What frames the pages: the top bar, the state of the connection, the menus.

import { h, put, say, setAria } from "./dom.js";
import { icon, mark } from "./icons.js";
import { iconButton, menu } from "./parts.js";
import { THEMES, setTheme, theme } from "./theme.js";

const TABS = [["devices", "Devices", "desktop"], ["history", "History", "history"]];

/**
 * @param {object} parts
 * @param {{ email: string, first_name?: string | null }} parts.user
 * @param {() => void} parts.signOut
 */
export function shell({ user, signOut }) {
  const dot = h("span", { class: "dot" });
  const words = h("span", { class: "pill-text" });
  const pill = h("button", { class: "pill", type: "button", aria: { expanded: "false", controls: "status-detail" } }, dot, words);
  const detail = h("p", { class: "pill-detail", id: "status-detail", hidden: true });
  // The words alone are told: the countdown would be told every second.
  const told = h("span", { class: "quiet", role: "status" });
  const open = (on) => {
    detail.hidden = !on;
    pill.setAttribute("aria-expanded", String(on));
  };
  pill.addEventListener("click", () => open(detail.hidden));
  pill.addEventListener("blur", () => open(false));

  const themes = menu(iconButton("auto", "Theme", () => {}), () =>
    THEMES.map(([name, text, picture]) => ({ text, icon: picture, checked: theme() === name, act: () => [setTheme(name), draw()] })));
  const draw = () => {
    const [, text, picture] = THEMES.find(([name]) => name === theme()) ?? THEMES[0];
    const opener = themes.querySelector("button");
    setAria(opener, "label", `Theme: ${text}`);
    put(opener, icon(picture));
  };
  draw();
  const letter = (user.first_name || user.email).trim().charAt(0).toUpperCase();
  const account = menu(h("button", { class: "avatar", type: "button", aria: { label: `Account of ${user.email}` } }, letter), () => [
    h("p", { class: "menu-head" }, h("span", { class: "faint" }, "Signed in as"), h("strong", {}, user.email)),
    { text: "Sign out", icon: "out", act: signOut },
  ]);
  const links = TABS.map(([name, text, picture]) => h("a", { class: "tab", href: `#${name}` }, icon(picture), h("span", {}, text)));
  const banner = h("div", { class: "banner-slot" });
  const main = h("main", { class: "page", id: "main", tabindex: "-1" });
  const element = h("div", { class: "shell" },
    h("header", { class: "top" },
      h("div", { class: "top-inner" },
        h("a", { class: "brand", href: "#devices", aria: { label: "Streamz, devices" } }, mark(), h("span", {}, "Streamz")),
        h("nav", { class: "tabs", aria: { label: "Pages" } }, links),
        h("div", { class: "top-end" }, h("div", { class: "pill-holder" }, pill, detail), told, themes, account))),
    banner, main);

  return {
    element,
    /** @param {HTMLElement} page @param {string} name */
    show(page, name) {
      put(main, page);
      for (const link of links) setAria(link, "current", link.getAttribute("href") === `#${name}` ? "page" : null);
    },
    /** @param {{ kind: string, text: string, detail: string }} status */
    status(status) {
      pill.dataset.kind = status.kind;
      say(words, status.text);
      say(detail, status.detail);
      pill.title = status.detail;
      say(told, `Connection: ${status.text}`);
    },
    /** What is wrong and can be mended by a tap; null: nothing is. */
    banner(text, action) {
      put(banner, text && h("div", { class: "banner", role: "alert" }, icon("warn"), h("p", {}, text), action));
    },
  };
}
