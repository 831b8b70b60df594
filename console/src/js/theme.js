// Light, dark, or as the system has it. `early.js` applies it.

const KEY = "streamz.theme";

/** @returns {"auto" | "light" | "dark"} */
export function theme() {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

/** @param {"auto" | "light" | "dark"} chosen */
export function setTheme(chosen) {
  if (chosen === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, chosen);
  dispatchEvent(new Event("streamz-theme"));
}

/** @type {["auto" | "light" | "dark", string, string][]} */
export const THEMES = [["auto", "As the system", "auto"], ["light", "Light", "sun"], ["dark", "Dark", "moon"]];
