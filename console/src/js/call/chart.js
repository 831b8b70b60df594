// The last minute of a call, as two lines.

import { svg } from "../dom.js";
import { rate } from "../format.js";

const [WIDTH, HEIGHT, POINTS] = [300, 84, 60];

/** What the axis ends with: a round number above all that is shown. @param {number} top */
export function roundUp(top) {
  const power = 10 ** Math.floor(Math.log10(Math.max(top, 50_000)));
  return [1, 2, 3, 5, 10].map((step) => step * power).find((limit) => limit >= Math.max(top, 50_000)) ?? top;
}

/** @param {number[]} values oldest first @param {number} limit */
export function line(values, limit) {
  const from = POINTS - values.length;
  return values.map((value, at) => {
    const x = ((from + at) / (POINTS - 1)) * WIDTH;
    const y = HEIGHT - 2 - (Math.min(value, limit) / limit) * (HEIGHT - 8);
    return `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}

export function chart() {
  const series = { received: /** @type {number[]} */ ([]), sent: /** @type {number[]} */ ([]) };
  const area = svg("path", { class: "chart-area" });
  const received = svg("path", { class: "chart-line received" });
  const sent = svg("path", { class: "chart-line sent" });
  const grid = [0.5, 1].map((part) => svg("path", { class: "chart-grid", d: `M0 ${HEIGHT - 2 - part * (HEIGHT - 8)}H${WIDTH}` }));
  const element = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Bitrate of the last minute", preserveAspectRatio: "none" }, grid, area, received, sent);
  return {
    element,
    /** @param {{ receiveBitrate: number, sendBitrate: number }} stats @returns {string} what the axis ends with */
    add({ receiveBitrate, sendBitrate }) {
      for (const [name, value] of [["received", receiveBitrate], ["sent", sendBitrate]]) {
        series[name].push(value);
        if (series[name].length > POINTS) series[name].shift();
      }
      const limit = roundUp(Math.max(...series.received, ...series.sent));
      const path = line(series.received, limit);
      received.setAttribute("d", path);
      sent.setAttribute("d", line(series.sent, limit));
      const start = ((POINTS - series.received.length) / (POINTS - 1)) * WIDTH;
      area.setAttribute("d", `${path}L${WIDTH} ${HEIGHT}L${start.toFixed(1)} ${HEIGHT}Z`);
      element.setAttribute("aria-label", `Bitrate of the last minute: now ${rate(receiveBitrate)} received, ${rate(sendBitrate)} sent`);
      return rate(limit);
    },
  };
}
