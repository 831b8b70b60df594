// What `getStats` says, in a few words. Without I/O: a report goes in, and the last reading for the differences.

/**
 * @typedef {object} CallStats
 * @property {"p2p" | "relay" | null} path
 * @property {number | null} rttMs
 * @property {"good" | "fair" | "poor"} quality
 * @property {number} sendBitrate bits a second
 * @property {number} receiveBitrate
 * @property {number} loss share of the packets that were lost lately, either way, 0 to 1
 * @property {number | null} framesPerSecond of the picture that arrives
 * @property {number} framesDecoded in all
 */

/** @typedef {{ at: number, sent: number, received: number, lost: number, packets: number }} Totals */

/** Up to these, a call is called good, or fair. */
const GOOD = { rttMs: 200, loss: 0.02 };
const FAIR = { rttMs: 500, loss: 0.08 };

/**
 * @param {Iterable<any>} report the values of an `RTCStatsReport`
 * @param {number} now
 * @param {Totals} [last]
 * @returns {{ stats: CallStats, totals: Totals }}
 */
export function readStats(report, now, last) {
  /** @type {Map<string, any>} */
  const byId = new Map();
  for (const entry of report) byId.set(entry.id, entry);
  const all = [...byId.values()];
  const pair = selectedPair(all, byId);
  const ends = [byId.get(pair?.localCandidateId), byId.get(pair?.remoteCandidateId)];
  const inbound = all.filter(({ type }) => type === "inbound-rtp");
  const video = inbound.filter(({ kind }) => kind === "video");
  const remote = all.filter(({ type }) => type === "remote-inbound-rtp");
  const rtt = pair?.currentRoundTripTime ?? remote.find((entry) => entry.roundTripTime !== undefined)?.roundTripTime;
  const outbound = all.filter(({ type }) => type === "outbound-rtp");
  const totals = {
    at: now,
    sent: pair?.bytesSent ?? 0,
    received: pair?.bytesReceived ?? 0,
    lost: sum(inbound, "packetsLost") + sum(remote, "packetsLost"),
    packets: sum(inbound, "packetsReceived") + sum(outbound, "packetsSent"),
  };
  const since = last ?? { at: now, sent: 0, received: 0, lost: 0, packets: 0 };
  const seconds = Math.max(now - since.at, 1) / 1000;
  const lost = Math.max(0, totals.lost - since.lost);
  const packets = Math.max(0, totals.packets - since.packets);
  const loss = lost === 0 ? 0 : lost / (lost + packets);
  const rttMs = rtt === undefined ? null : Math.round(rtt * 1000);
  const rate = (/** @type {number} */ bytes) => (last ? Math.max(0, Math.round((bytes * 8) / seconds)) : 0);
  return {
    totals,
    stats: {
      path: pair ? (ends.some((end) => end?.candidateType === "relay") ? "relay" : "p2p") : null,
      rttMs,
      quality: within(GOOD, rttMs, loss) ? "good" : within(FAIR, rttMs, loss) ? "fair" : "poor",
      sendBitrate: rate(totals.sent - since.sent),
      receiveBitrate: rate(totals.received - since.received),
      loss,
      framesPerSecond: video.length > 0 ? Math.max(...video.map((entry) => entry.framesPerSecond ?? 0)) : null,
      framesDecoded: sum(video, "framesDecoded"),
    },
  };
}

/**
 * Whether a reading is news for the stream's record.
 * @param {CallStats} stats
 * @param {CallStats | undefined} told
 */
export function isNews(stats, told) {
  if (stats.path === null) return false;
  if (!told || told.path !== stats.path || told.quality !== stats.quality) return true;
  const [before, after] = [told.rttMs ?? 0, stats.rttMs ?? 0];
  return Math.abs(after - before) > Math.max(10, before / 4);
}

/**
 * @param {any[]} all
 * @param {Map<string, any>} byId
 */
function selectedPair(all, byId) {
  const transport = all.find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
  if (transport) return byId.get(transport.selectedCandidatePairId);
  // Firefox names no transport; it marks the pair.
  const pairs = all.filter(({ type, state }) => type === "candidate-pair" && state === "succeeded");
  return pairs.find(({ selected }) => selected) ?? pairs.find(({ nominated }) => nominated);
}

/** @param {{ rttMs: number, loss: number }} limit @param {number | null} rttMs @param {number} loss */
function within(limit, rttMs, loss) {
  return (rttMs ?? 0) <= limit.rttMs && loss <= limit.loss;
}

/** @param {any[]} entries @param {string} name */
function sum(entries, name) {
  return entries.reduce((total, entry) => total + (entry[name] ?? 0), 0);
}
