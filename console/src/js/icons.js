// Line icons on a grid of 24, drawn for this page.

import { svg } from "./dom.js";

const PATHS = {
  phone: ["M8 3h8a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Z", "M11 18h2"],
  tablet: ["M6 3h12a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Z", "M11 17.5h2"],
  laptop: ["M6 5h12a1.5 1.5 0 0 1 1.5 1.5V15h-15V6.5A1.5 1.5 0 0 1 6 5Z", "M2.5 18.5h19"],
  desktop: ["M4.5 4h15A1.5 1.5 0 0 1 21 5.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 14.5v-9A1.5 1.5 0 0 1 4.5 4Z", "M12 16v4", "M8.5 20h7"],
  tv: ["M4 6.5h16a1.5 1.5 0 0 1 1.5 1.5v9a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 17V8A1.5 1.5 0 0 1 4 6.5Z", "M8.5 3 12 6.5 15.5 3", "M8 21h8"],
  camera: ["M12 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11Z", "M12 11a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z", "M9 14l-1.5 6.5h9L15 14"],
  speaker: ["M8 3h8a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2Z", "M12 17.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z", "M12 7.5h.01"],
  device: ["M5 4h14a1.5 1.5 0 0 1 1.5 1.5v13A1.5 1.5 0 0 1 19 20H5a1.5 1.5 0 0 1-1.5-1.5v-13A1.5 1.5 0 0 1 5 4Z", "M9 12h6"],
  video: ["M4 6.5h9.5A1.5 1.5 0 0 1 15 8v8a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 16V8A1.5 1.5 0 0 1 4 6.5Z", "m15 10.5 6-3.5v10l-6-3.5"],
  videoOff: ["M10 6.5h3.5A1.5 1.5 0 0 1 15 8v2.5l6-3.5v10l-3-1.75", "M15 15.5v.5a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 16V8c0-.8.6-1.4 1.3-1.5", "m3 3 18 18"],
  mic: ["M12 3a3 3 0 0 1 3 3v5.5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3Z", "M5.5 11.5a6.5 6.5 0 0 0 13 0", "M12 18v3"],
  micOff: ["M15 9.5V6a3 3 0 0 0-5.7-1.3", "M9 9v2.5a3 3 0 0 0 4.7 2.47", "M5.5 11.5a6.5 6.5 0 0 0 10.3 5.28", "M18.5 11.5c0 .9-.2 1.75-.5 2.5", "M12 18v3", "m3 3 18 18"],
  screen: ["M4.5 4.5h15A1.5 1.5 0 0 1 21 6v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 15V6a1.5 1.5 0 0 1 1.5-1.5Z", "M12 13.5V8", "m9.5 10 2.5-2.5 2.5 2.5", "M8 20h8"],
  chat: ["M5 4.5h14A1.5 1.5 0 0 1 20.5 6v9.5A1.5 1.5 0 0 1 19 17h-7l-4.5 3.5V17H5a1.5 1.5 0 0 1-1.5-1.5V6A1.5 1.5 0 0 1 5 4.5Z", "M8 9h8", "M8 12.5h5"],
  eye: ["M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z", "M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z"],
  more: ["M5 12h.01", "M12 12h.01", "M19 12h.01"],
  plus: ["M12 5v14", "M5 12h14"],
  ring: ["M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15L6 16.5Z", "M10 20.5a2.3 2.3 0 0 0 4 0", "M3 8.5a9 9 0 0 1 2-4", "M21 8.5a9 9 0 0 0-2-4"],
  sun: ["M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z", "M12 2.5v2", "M12 19.5v2", "M2.5 12h2", "M19.5 12h2", "m5.3 5.3 1.4 1.4", "m17.3 17.3 1.4 1.4", "m5.3 18.7 1.4-1.4", "m17.3 6.7 1.4-1.4"],
  moon: ["M20 14.2A8.2 8.2 0 0 1 9.8 4a8.2 8.2 0 1 0 10.2 10.2Z"],
  auto: ["M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17Z", "M12 3.5v17", "M15 5v14", "M18 7.5v9"],
  out: ["M10 4H6a1.5 1.5 0 0 0-1.5 1.5v13A1.5 1.5 0 0 0 6 20h4", "M15.5 8 20 12l-4.5 4", "M20 12H9.5"],
  hangup: ["M3.2 14.8c-.9-1-.9-2.4 0-3.3 4.9-4.6 12.7-4.6 17.6 0 .9.9.9 2.3 0 3.3l-.9.9c-.6.6-1.5.7-2.2.2l-2-1.4c-.5-.3-.8-.9-.7-1.5l.1-1.3a10.6 10.6 0 0 0-6.2 0l.1 1.3c.1.6-.2 1.2-.7 1.5l-2 1.4c-.7.5-1.6.4-2.2-.2l-.9-.9Z"],
  call: ["M6.5 3.5h2.3c.6 0 1.1.4 1.3 1l.8 2.8c.1.5 0 1-.4 1.4L9.2 10a12 12 0 0 0 4.8 4.8l1.3-1.3c.4-.4.9-.5 1.4-.4l2.8.8c.6.2 1 .7 1 1.3v2.3a2.5 2.5 0 0 1-2.7 2.5A15.5 15.5 0 0 1 4 6.2a2.5 2.5 0 0 1 2.5-2.7Z"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  x: ["m6 6 12 12", "m18 6-12 12"],
  expand: ["M4 9V4h5", "M20 9V4h-5", "M4 15v5h5", "M20 15v5h-5"],
  shrink: ["M9 4v5H4", "M15 4v5h5", "M9 20v-5H4", "M15 20v-5h5"],
  pulse: ["M3 12.5h4l2.5-7 4.5 13 2.5-6H21"],
  history: ["M12 20.5A8.5 8.5 0 1 0 4 9", "M3.5 4.5V9H8", "M12 7.5V12l3 2"],
  link: ["M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1", "M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1"],
  copy: ["M9.5 8.5h9A1.5 1.5 0 0 1 20 10v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 8 19v-9a1.5 1.5 0 0 1 1.5-1.5Z", "M16 8.5V5a1.5 1.5 0 0 0-1.5-1.5h-9A1.5 1.5 0 0 0 4 5v9a1.5 1.5 0 0 0 1.5 1.5H8"],
  edit: ["M4 20l1-4L16 5a2.1 2.1 0 0 1 3 3L8 19l-4 1Z", "m14 7 3 3"],
  trash: ["M4.5 6.5h15", "M9 6V4.5A1 1 0 0 1 10 3.5h4a1 1 0 0 1 1 1V6", "M6.5 6.5l.8 12.6a1.5 1.5 0 0 0 1.5 1.4h6.4a1.5 1.5 0 0 0 1.5-1.4l.8-12.6"],
  clip: ["m20 11.5-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7L9.7 17.2a1.7 1.7 0 0 1-2.4-2.4L15 7"],
  send: ["M12 19V5", "m5.5 11.5 6.5-6.5 6.5 6.5"],
  swap: ["M4 9.5A8.5 8.5 0 0 1 19 7", "M19.5 3.5V7.5h-4", "M20 14.5A8.5 8.5 0 0 1 5 17", "M4.5 20.5v-4h4"],
  down: ["m6 9.5 6 6 6-6"],
  warn: ["M12 4 2.8 19.5h18.4L12 4Z", "M12 10v4.5", "M12 17h.01"],
};

/** @param {keyof typeof PATHS | string} name @param {string} [extra] more classes */
export function icon(name, extra = "") {
  const attributes = { viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.7" };
  const round = { "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true", focusable: "false" };
  const paths = PATHS[name] ?? PATHS.device;
  const heavier = name === "more" ? { "stroke-width": "2.6" } : {};
  const classes = extra ? `icon ${extra}` : "icon";
  return svg("svg", { class: classes, ...attributes, ...round, ...heavier }, paths.map((d) => svg("path", { d })));
}

/** The mark: two ends and what flows between them. */
export function mark() {
  return svg(
    "svg",
    { class: "mark", viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "mark-tile", width: "32", height: "32", rx: "9" }),
    svg("path", { class: "mark-line", d: "M8.5 19.5c3.4-6.4 6.3-6.4 7.6-3.2s4.1 3.2 7.4-3.3" }),
    svg("circle", { class: "mark-end", cx: "8.5", cy: "19.5", r: "2.2" }),
    svg("circle", { class: "mark-end", cx: "23.5", cy: "13", r: "2.2" }),
  );
}

/** Types that a person may choose, and those that others may have given. */
export const DEVICE_TYPES = [
  ["phone", "Phone"],
  ["tablet", "Tablet"],
  ["laptop", "Laptop"],
  ["desktop", "Desktop"],
  ["tv", "Television"],
  ["camera", "Camera"],
  ["speaker", "Speaker"],
];

/** @param {string} type */
export function deviceIcon(type) {
  return icon(DEVICE_TYPES.some(([known]) => known === type) ? type : "device", "device-icon");
}

/** @param {string} type */
export function typeName(type) {
  const known = DEVICE_TYPES.find(([name]) => name === type);
  if (known) return known[1];
  if (!type || type === "unknown") return "Device";
  return type.charAt(0).toUpperCase() + type.slice(1);
}
