import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { kindsOf, originOf, typeOf, versionOf } from "../../src/call/sdp.js";
import { isNews, readStats } from "../../src/call/stats.js";

const report = (/** @type {any} */ { local = "host", remote = "host", rtt = 0.02, sent = 0, lost = 0, packets = 1000 } = {}) => [
  { id: "T", type: "transport", selectedCandidatePairId: "P" },
  { id: "P", type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R", currentRoundTripTime: rtt, bytesSent: sent, bytesReceived: 0 },
  { id: "L", type: "local-candidate", candidateType: local },
  { id: "R", type: "remote-candidate", candidateType: remote },
  { id: "I", type: "inbound-rtp", kind: "video", packetsLost: lost, packetsReceived: packets, framesPerSecond: 24, framesDecoded: 99 },
];

describe("statistics", () => {
  it("tell the path", () => {
    assert.equal(readStats(report(), 0).stats.path, "p2p");
    assert.equal(readStats(report({ local: "relay" }), 0).stats.path, "relay");
    assert.equal(readStats(report({ remote: "relay" }), 0).stats.path, "relay");
    assert.equal(readStats([], 0).stats.path, null);
    const firefox = report().filter(({ type }) => type !== "transport").map((entry) => (entry.id === "P" ? { ...entry, state: "succeeded", selected: true } : entry));
    assert.equal(readStats(firefox, 0).stats.path, "p2p");
  });

  it("tell the quality by delay and by what was lost lately", () => {
    const quality = (/** @type {any} */ said, /** @type {any} */ last) => readStats(report(said), 1000, last).stats.quality;
    assert.deepEqual([0.02, 0.3, 0.7].map((rtt) => quality({ rtt }, undefined)), ["good", "fair", "poor"]);
    const { totals } = readStats(report({ lost: 500 }), 0);
    assert.equal(quality({ lost: 500, packets: 1100 }, totals), "good", "what was lost long ago does not count");
    assert.equal(quality({ lost: 520, packets: 1100 }, totals), "poor");
  });

  it("tell rates from differences", () => {
    const { totals } = readStats(report({ sent: 1000 }), 0);
    const { stats } = readStats(report({ sent: 3500 }), 2000, totals);
    assert.deepEqual([stats.sendBitrate, stats.framesPerSecond, stats.framesDecoded, stats.rttMs], [10_000, 24, 99, 20]);
  });

  it("are news when something a person would notice has changed", () => {
    const { stats } = readStats(report(), 0);
    assert.ok(isNews(stats, undefined));
    assert.ok(!isNews({ ...stats, rttMs: 25 }, stats));
    assert.ok(isNews({ ...stats, rttMs: 60 }, stats));
    assert.ok(isNews({ ...stats, path: "relay" }, stats));
    assert.ok(!isNews({ ...stats, path: null }, stats));
  });
});

describe("descriptions", () => {
  it("name their connection and its version", () => {
    const sdp = "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\n";
    assert.equal(originOf(sdp), "- 46117");
    assert.equal(originOf(sdp.replace(" 2 ", " 3 ")), originOf(sdp));
    assert.notEqual(versionOf(sdp.replace(" 2 ", " 3 ")), versionOf(sdp));
    assert.equal(originOf("nonsense"), "");
  });

  it("types and tracks fit", () => {
    const media = (/** @type {number} */ video, /** @type {number} */ audio) => /** @type {any} */ ({ getVideoTracks: () => Array(video), getAudioTracks: () => Array(audio) });
    assert.deepEqual([typeOf(null), typeOf(media(1, 0)), typeOf(media(0, 1)), typeOf(media(1, 1))], ["data", "video", "audio", "both"]);
    assert.deepEqual([kindsOf("both"), kindsOf("screen"), kindsOf("data")], [["video", "audio"], ["video"], []]);
  });
});
