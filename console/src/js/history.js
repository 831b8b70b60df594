// What was streamed, newest first.

import { h, put } from "./dom.js";
import { clock, count, day, duration, kindIcon, kindName, reasonText } from "./format.js";
import { icon } from "./icons.js";
import { button } from "./parts.js";

const PAGE = 30;
const QUIET = new Set(["ended", "cancelled"]);

/**
 * @param {object} parts
 * @param {import("../client/index.js").Streamz} parts.streamz
 * @param {() => import("./identity.js").Identity} parts.identity
 */
export function historyPage({ streamz, identity }) {
  const list = h("div", { class: "days", aria: { live: "off" } });
  const note = h("p", { class: "soft", role: "status" }, "Loading…");
  const more = button("Show older", () => void load(), {});
  more.hidden = true;
  const element = h("div", { class: "history" },
    h("header", { class: "page-head" }, h("div", {}, h("h1", { tabindex: "-1" }, "History"), note)), list, more);
  let records = [];
  let cursor = null;
  let asked = 0;

  async function load(fresh = false) {
    const mine = (asked += 1);
    more.disabled = true;
    try {
      const page = await streamz.streams.list({ limit: PAGE, ...(!fresh && cursor && { cursor }) });
      if (mine !== asked) return;
      records = fresh ? page.streams : [...records, ...page.streams];
      cursor = page.nextCursor;
      show();
    } catch (error) {
      if (mine === asked) note.textContent = `The history could not be read: ${error.message}`;
    } finally {
      more.disabled = false;
    }
  }

  function show() {
    note.textContent = records.length === 0 ? "" : cursor ? `The last ${count(records.length, "stream")}` : count(records.length, "stream");
    more.hidden = !cursor;
    const days = Map.groupBy ? Map.groupBy(records, ({ started_at }) => day(started_at)) : group(records);
    put(list, [...days].map(([name, of]) => h("section", { class: "day" }, h("h2", { class: "section" }, name),
      h("ul", { class: "rows" }, of.map((record) => row(record, identity().id))))));
    if (records.length === 0) put(list, nothing());
  }

  return { element, refresh: () => load(true) };
}

function row(record, me) {
  const { source_device: from, target_device: to, stream_type: type, started_at, ended_at, connection_type: path } = record;
  const name = (device) => (!device ? "A removed device" : device.device_id === me ? "This device" : device.device_name);
  const live = ended_at === null;
  const took = live ? Date.now() - Date.parse(started_at) : Date.parse(ended_at) - Date.parse(started_at);
  const reason = live ? "" : reasonText(record.end_reason);
  const unusual = !live && !QUIET.has(record.end_reason);
  const answered = live || path !== null;
  return h("li", { class: "row" },
    h("span", { class: `tile ${live ? "live" : ""}` }, icon(kindIcon(type), "device-icon")),
    h("div", { class: "row-names" },
      h("p", { class: "strong" }, name(from), h("span", { class: "arrow faint", aria: { hidden: "true" } }, " → "), h("span", { class: "quiet" }, " to "),
        to || answered ? name(to) : "All devices"),
      h("p", { class: "small soft" }, kindName(type), " · ", h("span", { class: "num" }, clock(started_at)),
        reason && h("span", { class: unusual ? "unusual" : "" }, ` · ${reason}`))),
    h("div", { class: "row-facts" },
      live && h("span", { class: "chip ok" }, "Live"),
      path && h("span", { class: "chip" }, path === "p2p" ? "Direct" : "Relayed"),
      record.latency_ms !== null && record.latency_ms !== undefined && h("span", { class: "chip num" }, `${record.latency_ms} ms`),
      record.quality && record.quality !== "good" && h("span", { class: "chip warn" }, record.quality === "poor" ? "Poor" : "Fair")),
    h("p", { class: "row-time num" }, answered && [h("span", { class: "quiet" }, live ? "running for " : "lasted "), duration(took)]));
}

function group(records) {
  const days = new Map();
  for (const record of records) {
    const name = day(record.started_at);
    days.set(name, [...(days.get(name) ?? []), record]);
  }
  return days;
}

function nothing() {
  return h("div", { class: "empty" }, h("div", { class: "empty-art", aria: { hidden: "true" } }, h("span", { class: "tile" }, icon("history", "device-icon"))),
    h("h2", {}, "Nothing was streamed yet"),
    h("p", { class: "soft" }, "Calls, screens and messages appear here, with their path and how they ended."));
}
