import { Backoff } from "../backoff.js";
import { StreamzError } from "../errors.js";
import { Negotiation } from "./negotiation.js";
import { kindsOf } from "./sdp.js";
import { readStats } from "./stats.js";

/** A path that is interrupted often heals by itself: so long it may. The polite side waits longer, so that one acts. */
const HEAL_MS = { impolite: 2_500, polite: 5_000 };

/** The channel that every stream of type `data` has. Both sides know its number, so nobody has to announce it. */
const DATA = Object.freeze({ label: "data", negotiated: true, id: 0 });

/**
 * @typedef {object} PeerParts
 * @property {any} RTCPeerConnection
 * @property {import("../wire.js").IceServer[]} iceServers
 * @property {RTCConfiguration} [configuration]
 * @property {boolean} polite
 * @property {boolean} begins whether the first offer is ours
 * @property {import("../wire.js").StreamType} type
 * @property {boolean} wants whether the other side is to send the stream's media
 * @property {Map<MediaStreamTrack, MediaStream[]>} tracks what we send
 * @property {import("../clock.js").Clock} clock
 * @property {() => number} random
 * @property {(type: "sdp_offer" | "sdp_answer" | "ice_candidate", payload: Record<string, unknown>) => Promise<void>} send
 * @property {(state: RTCPeerConnectionState) => void} changed
 * @property {(event: RTCTrackEvent) => void} track
 * @property {(channel: RTCDataChannel) => void} channel
 * @property {(error: unknown) => void} failed
 */

/** One peer connection of a call, kept alive: its path is renewed when it breaks. */
export class Peer {
  #parts;
  #negotiation;
  #backoff;
  /** @type {(() => void) | undefined} */
  #cancel;
  #closed = false;
  #measuring = false;
  /** @type {(() => void) | undefined} */
  #unmeasure;
  /** @type {import("./stats.js").Totals | undefined} */
  #totals;
  /** How each track that we send is taken back. @type {Map<MediaStreamTrack, { sender: RTCRtpSender, remove: () => void }>} */
  #sent = new Map();

  /** @param {PeerParts} parts */
  constructor(parts) {
    this.#parts = parts;
    mustHaveWebRTC(parts.RTCPeerConnection);
    this.#backoff = new Backoff({ baseMs: 2_000, capMs: 20_000, random: parts.random });
    /** @type {RTCPeerConnection} */
    this.pc = new parts.RTCPeerConnection({ ...parts.configuration, iceServers: parts.iceServers });
    const { clock, polite, begins, send, failed } = parts;
    this.#negotiation = new Negotiation({ pc: this.pc, polite, begins, send, clock, failed });
    this.pc.onconnectionstatechange = () => this.#changed();
    this.pc.ontrack = (event) => parts.track(event);
    this.pc.ondatachannel = ({ channel }) => parts.channel(channel);
    for (const [track, streams] of parts.tracks) this.add(track, streams);
    // Whoever offers says what it wants to see; whoever answers adds its tracks to what was asked for.
    if (begins && parts.wants) this.#ask();
    if (parts.type === "data") {
      const { label, ...options } = DATA;
      parts.channel(this.pc.createDataChannel(label, options));
    }
  }

  /** @param {string} sdp */
  isReborn(sdp) {
    return this.#negotiation.isReborn(sdp);
  }

  /** @param {"offer" | "answer"} type @param {string} sdp */
  description(type, sdp) {
    this.#negotiation.description(type, sdp);
  }

  /** @param {any} payload */
  candidate(payload) {
    this.#negotiation.candidate(payload);
  }

  /** @param {MediaStreamTrack} track @param {MediaStream[]} streams */
  add(track, streams) {
    const { pc } = this;
    if (!pc.localDescription && !pc.remoteDescription) {
      const sender = pc.addTrack(track, ...streams);
      this.#sent.set(track, { sender, remove: () => pc.removeTrack(sender) });
      return;
    }
    // `addTrack` would take a line on which so far only the other side sends. If both offer at once and that offer is
    // rolled back, Chromium shows no more frames of what comes on this line. A line of its own is safe, and is free for
    // another track once it is stopped, so that descriptions do not grow with every screen that is shown.
    const transceiver = pc.addTransceiver(track, { direction: "sendonly", streams });
    this.#sent.set(track, { sender: transceiver.sender, remove: () => transceiver.stop() });
  }

  /** @param {MediaStreamTrack} track */
  remove(track) {
    this.#sent.get(track)?.remove();
    this.#sent.delete(track);
  }

  /** @param {MediaStreamTrack} track @param {MediaStreamTrack} by */
  async replace(track, by) {
    const sent = this.#sent.get(track);
    if (!sent) throw new StreamzError("unknown_track", "This track is not sent in this call.");
    await sent.sender.replaceTrack(by);
    this.#sent.delete(track);
    this.#sent.set(by, sent);
  }

  /** Looks for a new path. */
  restart() {
    if (this.pc.signalingState !== "closed" && this.pc.remoteDescription) this.pc.restartIce();
  }

  /** @param {import("../wire.js").IceServer[]} iceServers @param {boolean} relayed whether the path is through one of them */
  renew(iceServers, relayed) {
    // Closed by whoever has it from `call.peerConnection`.
    if (this.pc.signalingState === "closed") return;
    this.pc.setConfiguration({ ...this.#parts.configuration, iceServers });
    // Some servers end what outlives its credentials: a new path is made with the new ones.
    if (relayed) this.restart();
  }

  /**
   * Reads the statistics now and every so often, until it is closed.
   * @param {number} everyMs
   * @param {(stats: import("./stats.js").CallStats) => void} tell
   */
  measure(everyMs, tell) {
    const { clock } = this.#parts;
    const look = async () => {
      const report = await this.pc.getStats().catch(() => undefined);
      if (this.#closed) return;
      if (report) {
        const { stats, totals } = readStats(report.values(), clock.now(), this.#totals);
        this.#totals = totals;
        tell(stats);
      }
      this.#unmeasure = clock.alarm(clock.now() + everyMs, () => void look());
    };
    if (this.#measuring) return;
    this.#measuring = true;
    void look();
  }

  close() {
    this.#closed = true;
    this.#cancel?.();
    this.#unmeasure?.();
    this.#negotiation.close();
    this.pc.onconnectionstatechange = this.pc.ontrack = this.pc.ondatachannel = null;
    this.pc.close();
  }

  #ask() {
    for (const kind of kindsOf(this.#parts.type)) {
      const asked = this.pc.getTransceivers().some(({ receiver }) => receiver.track.kind === kind);
      if (!asked) this.pc.addTransceiver(kind, { direction: "recvonly" });
    }
  }

  #changed() {
    const state = this.pc.connectionState;
    this.#cancel?.();
    this.#cancel = undefined;
    if (state === "connected") this.#backoff.reset();
    if (state === "disconnected") this.#restartIn(this.#parts.polite ? HEAL_MS.polite : HEAL_MS.impolite);
    // At once the first time; the other side does the same, and perfect negotiation makes one offer of two.
    if (state === "failed") this.#restartIn(this.#parts.polite ? HEAL_MS.impolite : 0);
    this.#parts.changed(state);
  }

  /** @param {number} ms */
  #restartIn(ms) {
    const { clock } = this.#parts;
    this.#cancel?.();
    this.#cancel = clock.alarm(clock.now() + ms, () => {
      this.restart();
      // A try that fails changes no state if the last one had failed: so the next one is set now.
      this.#restartIn(5_000 + this.#backoff.next());
    });
  }
}

/** @param {unknown} RTCPeerConnection @throws {StreamzError} `unsupported` */
export function mustHaveWebRTC(RTCPeerConnection) {
  if (typeof RTCPeerConnection === "function") return;
  throw new StreamzError("unsupported", "There is no WebRTC here: give a class as the option RTCPeerConnection.");
}
