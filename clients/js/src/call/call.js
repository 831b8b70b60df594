import { deferred } from "../deferred.js";
import { Emitter } from "../emitter.js";
import { StreamzError } from "../errors.js";
import { Peer } from "./peer.js";
import { Received } from "./received.js";
import { Sent } from "./sent.js";
import { isNews } from "./stats.js";

/** @typedef {import("../wire.js").StreamType} StreamType */
/** @typedef {import("./stats.js").CallStats} CallStats */
/** @typedef {import("./types.js").MediaState} MediaState */
/** @typedef {import("./types.js").CallEvents} CallEvents */
/** @typedef {import("./types.js").CallParts} CallParts */
/** @template T @typedef {ReturnType<typeof deferred<T>>} Deferred */

/** The longest reason of an end, in characters. */
export const REASON_MAX = 32;

/** How often the path is measured. */
const STATS_MS = 5_000;

/** How long the media may be away before the call is given up. */
const MEDIA_MS = 60_000;

/**
 * One stream between this device and another: rings, goes on, ends.
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter {
  #parts;
  /** @type {"ringing" | "active" | "ended"} */
  #state = "ringing";
  /** @type {MediaState} */
  #media = "none";
  /** @type {Peer | undefined} */
  #peer;
  #sent = new Sent();
  #received;
  /** @type {(() => void) | undefined} */
  #giveUp;
  /** @type {CallStats | undefined} */
  #told;
  /** @type {Deferred<string>} */
  #accepted = deferred();
  /** @type {Deferred<MediaStream>} */
  #ready = deferred();
  /** @type {Deferred<string>} */
  #ended = deferred();
  /** @type {Deferred<RTCDataChannel>} */
  #channel = deferred();

  /** @param {CallParts} parts */
  constructor(parts) {
    super();
    this.#parts = parts;
    /** The stream's id; null until the server has given one. */
    this.id = parts.id;
    this.direction = parts.direction;
    /** The other device; null while all are rung. */
    this.peerId = parts.peerId;
    this.type = parts.type;
    /** Who is to send the media. */
    this.sourceId = parts.sourceId;
    /** Whether a former run of this program began it: `accept` goes on with it. */
    this.ongoing = parts.ongoing === true;
    this.#received = new Received(parts.shared.MediaStream);
    /** What the other side sends, for one element: its first picture and its first sound. */
    this.remoteStream = this.#received.stream;
    /** The last reading. @type {CallStats | null} */
    this.stats = null;
    /** Why it ended. @type {string | null} */
    this.endReason = null;
    /** Lasts on without the server's knowledge, until it is announced anew. */
    this.orphaned = false;
    this.#sent.take(parts.media);
    if (this.ongoing) this.#state = "active";
  }

  /** Where it stands. */
  get state() {
    return this.#state;
  }

  /** How the media flows. */
  get media() {
    return this.#media;
  }

  /** The other device as it is known, if it is. */
  get peer() {
    return this.peerId === null ? undefined : this.#parts.shared.device(this.peerId);
  }

  /** All that the other side sends, in the order in which it came: a screen beside the camera, too. */
  get remoteTracks() {
    return this.#received.tracks;
  }

  /** The device that answered. Rejects with the reason if nobody did: `busy`, `declined`, `timeout`, `offline`, … */
  get accepted() {
    return this.#accepted.promise;
  }

  /** The other side's media, once it flows. Rejects if the call ends before. */
  get ready() {
    return this.#ready.promise;
  }

  /** The reason, once the call is over. Never rejects. */
  get ended() {
    return this.#ended.promise;
  }

  /** Of a data stream: its channel, once open. Rejects if the call ends before. */
  get channel() {
    return this.#channel.promise;
  }

  /** What does the work, for what is not wrapped here. A new one takes its place if the other side begins anew. */
  get peerConnection() {
    return this.#peer?.pc;
  }

  /**
   * Takes the ring, or goes on with an ongoing call. Resolves with the other side's media once it flows; rejects if
   * another device was quicker (`answered_elsewhere`) or the call is over.
   * @param {MediaStream | null} [media] what this side sends
   * @param {Pick<import("./calls.js").StreamOptions, "configuration" | "statsMs">} [options] as for `stream`
   * @returns {Promise<MediaStream>}
   */
  async accept(media = null, options) {
    if (this.direction === "outgoing" && !this.ongoing) throw new StreamzError("wrong_state", "Only the one that is rung accepts.");
    this.#mustLive();
    if (this.#peer) return this.ready;
    this.#parts.options = options ?? this.#parts.options;
    this.#sent.take(media);
    this.#begin(this.ongoing);
    if (this.ongoing) return this.ready;
    try {
      await this.#parts.send({ type: "stream_accept", payload: { stream_id: this.id } });
    } catch (error) {
      const code = error instanceof StreamzError ? error.code : "failed";
      // What became of it is not known: if the accept did arrive, the end tells the other side.
      code === "expired" ? this.end("failed") : this.over(code);
      throw error;
    }
    this.activate(this.peerId ?? "");
    return this.ready;
  }

  /** Refuses the ring. @param {string} [reason] your own word for the other side, at most 32 characters */
  decline(reason) {
    if (this.#state === "ended") return;
    // Once it is being accepted, it is too late to decline.
    if (this.direction !== "incoming" || this.#state !== "ringing" || this.#peer) return this.end(reason);
    this.#tell("stream_decline", reason);
    this.over(reason ?? "declined");
  }

  /** Ends the call, or gives up the ring. @param {string} [reason] your own word for the other side */
  end(reason) {
    if (this.#state === "ended") return;
    // Before the server has given an id there is nothing to end: it is done as soon as there is one.
    if (this.id !== null) this.#tell("stream_end", reason);
    this.over(reason ?? (this.#state === "ringing" ? "cancelled" : "ended"));
  }

  /** Sends one more track: a screen, a second camera. @param {MediaStreamTrack} track @param {MediaStream[]} streams */
  addTrack(track, ...streams) {
    this.#mustLive();
    this.#sent.add(track, streams);
    this.#peer?.add(track, streams);
  }

  /** Sends a track no more. @param {MediaStreamTrack} track */
  removeTrack(track) {
    this.#sent.remove(track);
    this.#peer?.remove(track);
  }

  /**
   * Sends another track in a track's place, such as another camera, without negotiation.
   * @param {MediaStreamTrack} track
   * @param {MediaStreamTrack} by
   */
  async replaceTrack(track, by) {
    await this.#sent.replace(track, by, () => this.#peer?.replace(track, by));
  }

  /**
   * Sends silence or black, or the real thing again: all tracks of this kind, those that come later, too. It is the
   * track that is muted, in all calls that send it.
   * @param {"audio" | "video"} kind
   * @param {boolean} muted
   */
  mute(kind, muted = true) {
    this.#sent.mute(kind, muted);
  }

  /** Opens a data channel; the other side hears of it as `channel`. @param {string} label @param {RTCDataChannelInit} [options] */
  openChannel(label, options) {
    if (!this.#peer) throw new StreamzError("wrong_state", "Nobody has answered yet.");
    return this.#peer.pc.createDataChannel(label, options);
  }

  /** Looks for a new path now. It is done without being asked when the path breaks or the network changes. */
  restartIce() {
    this.#peer?.restart();
  }

  // What follows is for `Calls`.

  /** Somebody has answered. @param {string} by @internal */
  activate(by) {
    if (this.#state !== "ringing") return;
    this.peerId = by;
    this.#set("active");
    this.#accepted.resolve(by);
    if (!this.#peer) this.#beginOrFail(true);
  }

  /** A description or candidate came. @param {import("../wire.js").Frame} frame @internal */
  signal({ type, payload }) {
    if (this.#state === "ended") return;
    if (type === "ice_candidate") return this.#peer?.candidate(payload);
    const kind = type === "sdp_offer" ? "offer" : "answer";
    if (this.#peer?.isReborn(payload.sdp)) {
      // An offer is answered by a new connection; after an answer it is that one that offers.
      if (!this.#beginOrFail(kind === "answer") || kind === "answer") return;
    }
    // An ongoing call that this program has not taken up has nobody to answer.
    this.#peer?.description(kind, payload.sdp);
  }

  /** It is over, whoever ended it. @param {string} reason @param {StreamzError} [cause] @internal */
  over(reason, cause) {
    if (this.#state === "ended") return;
    this.endReason = reason;
    this.#giveUp?.();
    this.#peer?.close();
    this.#setMedia("none");
    this.#set("ended");
    for (const waiting of [this.#accepted, this.#ready, this.#channel]) {
      waiting.reject(cause ?? new StreamzError(reason, `The call is over: ${reason}.`));
    }
    this.#ended.resolve(reason);
    this.emit("ended", reason);
    this.#parts.over(this);
  }

  /** @internal */
  networkChanged() {
    if (this.#media !== "none") this.#peer?.restart();
  }

  /** @param {boolean} lapse whether the old ones are about to lapse @internal */
  renewIceServers(lapse) {
    this.#peer?.renew(this.#parts.shared.iceServers(), lapse && this.stats?.path === "relay");
  }

  /** One of several that rang said no. @param {string} by @internal */
  declinedBy(by) {
    this.emit("declined", by);
  }

  /** @param {boolean} begins */
  #beginOrFail(begins) {
    try {
      this.#begin(begins);
      return true;
    } catch (error) {
      this.#failed(error, "There can be no connection to the other device.");
      return false;
    }
  }

  /** @param {boolean} begins */
  #begin(begins) {
    this.#peer?.close();
    this.#peer = undefined;
    const { shared, options } = this.#parts;
    this.#peer = new Peer({
      RTCPeerConnection: shared.RTCPeerConnection,
      iceServers: shared.iceServers(),
      ...(options?.configuration && { configuration: options.configuration }),
      polite: this.direction === "incoming",
      begins,
      type: this.type,
      wants: this.sourceId !== shared.deviceId,
      tracks: this.#sent.tracks,
      clock: shared.clock,
      random: shared.random,
      send: (type, payload) => this.#parts.send({ type, payload: { to_device_id: this.peerId, stream_id: this.id, ...payload } }),
      changed: (state) => this.#connection(state),
      track: ({ track, streams }) => this.#track(track, streams),
      channel: (channel) => this.#newChannel(channel),
      failed: (error) => this.#failed(error),
    });
    this.#setMedia("connecting");
    this.#armGiveUp();
  }

  /** @param {RTCPeerConnectionState} state */
  #connection(state) {
    if (state === "connected") {
      this.#giveUp?.();
      this.#giveUp = undefined;
      this.#setMedia("connected");
      this.#checkReady();
      this.#peer?.measure(this.#parts.options?.statsMs ?? STATS_MS, (stats) => this.#measured(stats));
    } else if (state === "disconnected" || state === "failed") {
      this.#setMedia("interrupted");
      if (!this.#giveUp) this.#armGiveUp();
    }
  }

  #armGiveUp() {
    const { clock } = this.#parts.shared;
    this.#giveUp?.();
    this.#giveUp = clock.alarm(clock.now() + MEDIA_MS, () => this.end("media_failed"));
  }

  #checkReady() {
    if (this.#media !== "connected") return;
    const waits = this.type !== "data" && this.sourceId !== this.#parts.shared.deviceId;
    if (!waits || this.remoteStream.getTracks().length > 0) this.#ready.resolve(this.remoteStream);
  }

  /** @param {MediaStreamTrack} track @param {readonly MediaStream[]} streams */
  #track(track, streams) {
    this.#received.add(track);
    this.emit("track", { track, streams });
    this.#checkReady();
  }

  /** @param {RTCDataChannel} channel */
  #newChannel(channel) {
    this.emit("channel", channel);
    if (this.type !== "data" || channel.label !== "data") return;
    const open = () => this.#channel.resolve(channel);
    if (channel.readyState === "open") open();
    else channel.addEventListener("open", open, { once: true });
  }

  /** @param {unknown} error @param {string} [text] */
  #failed(error, text = "A description was refused.") {
    this.#tell("stream_end", "media_failed");
    this.over("media_failed", new StreamzError("media_failed", text, { cause: error }));
  }

  /** @param {CallStats} stats */
  #measured(stats) {
    this.stats = stats;
    this.emit("stats", stats);
    // One of the two keeps the record, so that it does not go to and fro.
    if (this.direction !== "outgoing" || this.orphaned || !isNews(stats, this.#told)) return;
    this.#told = stats;
    const { path: connection_type, quality, rttMs } = stats;
    const payload = { stream_id: this.id, connection_type, quality, latency_ms: rttMs ?? undefined };
    this.#parts.send({ type: "stream_stats", payload }).catch(() => {
      this.#told = undefined;
    });
  }

  /** @param {"stream_decline" | "stream_end"} type @param {string} [reason] */
  #tell(type, reason) {
    if (this.orphaned) return;
    // If the server does not know the stream any more, it is over as it should be.
    this.#parts.send({ type, payload: { stream_id: this.id, ...(reason && { reason: reason.slice(0, REASON_MAX) }) } }).catch(() => {});
  }

  #mustLive() {
    if (this.#state === "ended") throw new StreamzError(this.endReason ?? "ended", "The call is over.");
  }

  /** @param {"active" | "ended"} state */
  #set(state) {
    this.#state = state;
    this.emit("state", state);
  }

  /** @param {MediaState} media */
  #setMedia(media) {
    if (media === this.#media) return;
    this.#media = media;
    this.emit("media", media);
  }
}
