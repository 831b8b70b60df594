// How the media flows: path, times, rates. Read every second, on both sides.

import { readStats } from "../../client/call/stats.js";
import { h, put, say } from "../dom.js";
import { rate } from "../format.js";
import { chart } from "./chart.js";

const EVERY_MS = 1_000;
const QUALITY = { good: "Good", fair: "Fair", poor: "Poor" };
const PATHS = { p2p: ["Direct", "From device to device; nothing in between sees or delays it."], relay: ["Relayed", "Through a relay, still encrypted from end to end: the networks allow no direct path."] };

/** @param {import("../../client/index.js").Call} call */
export function panel(call) {
  const graph = chart();
  const limit = h("span", { class: "chart-limit num" });
  const facts = new Map();
  const fact = (name, help) => {
    const value = h("dd", { class: "num" }, "–");
    facts.set(name, value);
    return h("div", { class: "fact", title: help }, h("dt", {}, name), value);
  };
  const path = h("p", { class: "path-name" }, "Connecting…");
  const pathText = h("p", { class: "small soft" });
  const badge = h("span", { class: "chip" });
  const element = h("aside", { class: "panel", id: "call-panel", aria: { label: "Connection" } },
    h("div", { class: "panel-path" }, h("div", { class: "panel-line" }, path, badge), pathText),
    h("div", { class: "chart-box" }, h("div", { class: "chart-head" }, h("p", { class: "small strong" }, "Bitrate"), limit), graph.element,
      h("p", { class: "legend small" }, h("span", { class: "key received" }, "Received"), h("span", { class: "key sent" }, "Sent"))),
    h("dl", { class: "facts" }, fact("Round trip", "How long a packet takes there and back"), fact("Received", "Bits a second"), fact("Sent", "Bits a second"),
      fact("Picture", "Size and rate of the picture that arrives"), fact("Lost", "Share of packets that were lost lately")));
  badge.hidden = true;
  let totals;
  let connection;

  async function look() {
    const pc = call.peerConnection;
    if (!pc || call.state === "ended" || document.hidden) return;
    if (pc !== connection) [connection, totals] = [pc, undefined];
    const report = await pc.getStats().catch(() => undefined);
    if (!report || pc !== call.peerConnection) return;
    const first = totals === undefined;
    const entries = [...report.values()];
    const reading = readStats(entries, Date.now(), totals);
    totals = reading.totals;
    if (reading.stats.path === null) return;
    show(reading.stats, entries.find(({ type, kind, frameWidth }) => type === "inbound-rtp" && kind === "video" && frameWidth > 0));
    if (!first) limit.textContent = graph.add(reading.stats);
  }

  function show(stats, picture) {
    const [name, text] = PATHS[stats.path];
    say(path, name);
    say(pathText, text);
    badge.hidden = false;
    badge.className = `chip ${stats.quality === "good" ? "ok" : stats.quality === "fair" ? "warn" : "bad"}`;
    say(badge, QUALITY[stats.quality]);
    const set = (key, value) => say(facts.get(key), value);
    const rtt = stats.rttMs === null ? "–" : stats.rttMs < 1 ? "below 1 ms" : `${stats.rttMs} ms`;
    set("Round trip", rtt);
    set("Received", rate(stats.receiveBitrate));
    set("Sent", rate(stats.sendBitrate));
    set("Picture", picture ? `${picture.frameWidth} × ${picture.frameHeight}, ${Math.round(picture.framesPerSecond ?? 0)} fps` : "–");
    set("Lost", `${(stats.loss * 100).toFixed(stats.loss > 0 && stats.loss < 0.1 ? 1 : 0)} %`);
    told(stats, name, rtt);
  }

  /** The few words that are always seen. @type {(stats: any, name: string, rtt: string) => void} */
  let told = () => {};
  const timer = setInterval(() => void look(), EVERY_MS);
  return {
    element,
    look,
    /** @param {HTMLElement} line */
    brief(line) {
      told = (stats, name, rtt) => put(line, h("span", { class: `dot ${stats.quality}` }), h("span", { class: "path" }, name), h("span", { class: "num" }, rtt),
        h("span", { class: "num brief-rate" }, rate(Math.max(stats.receiveBitrate, stats.sendBitrate))));
    },
    stop: () => clearInterval(timer),
  };
}
