import { Call, REASON_MAX } from "./call.js";
import { StreamzError } from "../errors.js";
import { Ends } from "./ends.js";
import { mustHaveWebRTC } from "./peer.js";
import { Recent } from "./recent.js";
import { typeOf } from "./sdp.js";

/** @typedef {import("../wire.js").StreamType} StreamType */
/** @typedef {import("../wire.js").Frame} Frame */

/**
 * @typedef {object} StreamOptions
 * @property {StreamType} [type] by default what the media's tracks say; `video` for a pull, `data` without media
 * @property {boolean} [pull] ask the other device for its media instead of sending ours
 * @property {RTCConfiguration} [configuration] beside the ICE servers, such as `{ iceTransportPolicy: "relay" }`
 * @property {number} [statsMs] how often the path is measured
 */

/**
 * @typedef {object} CallsParts
 * @property {string} deviceId
 * @property {import("../clock.js").Clock} clock
 * @property {() => number} random
 * @property {any} RTCPeerConnection
 * @property {any} MediaStream
 * @property {(message: import("../wire.js").Message) => { id: string, outcome: Promise<void> }} submit
 * @property {() => import("../wire.js").IceServer[]} iceServers
 * @property {(id: string) => import("../roster.js").KnownDevice | undefined} device
 * @property {(call: Call) => void} incoming
 * @property {(call: Call) => void} ongoing
 */

/** How long media that flows on without the server's knowledge may wait to be announced anew. */
const ORPHAN_MS = 30_000;

/** How long to wait before it is tried again. */
const ANNOUNCE_MS = 2_000;

/** A `stream_start` without a certain outcome may still ring: so long, and so many of them, are remembered. */
const GIVEN_UP = { lifeMs: 300_000, most: 64 };

/** Ends that say nothing of the media: the server, or the signaling of one side, was away for too long. */
const SIGNALING_ENDS = new Set(["device_lost", "server_restart"]);

/** The calls of one device: which frame belongs to which, and which ones the server still knows. */
export class Calls {
  #parts;
  /** By stream id. @type {Map<string, Call>} */
  #calls = new Map();
  /** By the id of the `stream_start` that has no outcome yet. @type {Map<string, Call>} */
  #starting = new Map();
  /** Ids of those of which nobody knows whether they ring. @type {Recent<string>} */
  #givenUp;
  /** Orphans that were hung up: the other side will ring for them again. @type {Recent<Call>} */
  #hungUp;
  /** A ring from the very device that we are about to ring. @type {Map<Call, any>} */
  #glare = new Map();
  #ends;

  /** @param {CallsParts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#ends = new Ends(parts);
    this.#givenUp = new Recent(parts.clock, GIVEN_UP);
    this.#hungUp = new Recent(parts.clock, { lifeMs: ORPHAN_MS, most: 64 });
  }

  /** @returns {Call[]} */
  get all() {
    return [...new Set([...this.#calls.values(), ...this.#starting.values()])].filter(({ state }) => state !== "ended");
  }

  /**
   * @param {string | null} to
   * @param {MediaStream | null} media
   * @param {StreamOptions} options
   */
  start(to, media, options) {
    const { deviceId, RTCPeerConnection } = this.#parts;
    mustHaveWebRTC(RTCPeerConnection);
    if (options.pull && to === null) throw new StreamzError("invalid_payload", "A pull needs the device that is to send.");
    const type = options.type ?? (options.pull ? "video" : typeOf(media));
    const sourceId = options.pull && to !== null ? to : deviceId;
    const call = this.#make({ direction: "outgoing", peerId: to, id: null, type, sourceId, media, options });
    // Whoever rings a device that rings here answers it.
    const rings = this.all.find((other) => other.direction === "incoming" && other.state === "ringing" && this.#mirrors(call, other));
    if (rings && rings.id !== null) {
      this.#answer(call, rings.id);
      rings.over("answered");
    } else {
      this.#announce(call);
    }
    return call;
  }

  /**
   * @param {Frame} frame
   * @returns {boolean} whether it was about a call
   */
  handle(frame) {
    const { type, payload } = frame;
    if (type === "stream_ringing") return this.#rings(payload);
    if (type === "stream_start") return this.#ring(payload);
    const call = this.#calls.get(payload.stream_id);
    if (!call) return false;
    switch (type) {
      case "stream_accept":
        this.#accepted(call, payload.from_device_id);
        return true;
      case "stream_decline":
        call.declinedBy(payload.from_device_id);
        return true;
      case "stream_end":
        this.#ended(call, payload);
        return true;
      case "sdp_offer":
      case "sdp_answer":
      case "ice_candidate":
        call.signal(frame);
        return true;
      default:
        return false;
    }
  }

  /**
   * With a new session, what the server lists is what there is.
   * @param {import("../wire.js").Welcome} welcome
   */
  welcome({ resumed, streams }) {
    if (resumed) return;
    const listed = new Map(streams.map((stream) => [stream.id, stream]));
    for (const [id, call] of [...this.#calls]) {
      const stream = listed.get(id);
      if (!stream) this.#forgotten(call, "lost");
      else if (stream.state === "active" && call.state === "ringing") this.#missedAccept(call, stream.to[0]);
    }
    for (const stream of streams) {
      if (!this.#calls.has(stream.id) && !this.#ends.has(stream.id)) this.#adopt(stream);
    }
  }

  networkChanged() {
    for (const call of this.all) call.networkChanged();
  }

  /** @param {boolean} lapse whether the old ones are about to lapse */
  renewIceServers(lapse) {
    for (const call of this.all) call.renewIceServers(lapse);
  }

  endAll() {
    for (const call of this.all) call.end();
  }

  /** @param {StreamzError} [error] */
  connectionClosed(error) {
    for (const call of this.all) call.over(error?.code ?? "closed", error);
  }

  /** @param {Omit<import("./types.js").CallParts, "shared" | "send" | "over">} parts */
  #make(parts) {
    const call = new Call({
      ...parts,
      shared: this.#parts,
      send: (message) => this.#send(message),
      over: (over) => {
        if (over.id !== null && this.#calls.get(over.id) === over) this.#calls.delete(over.id);
        if (over.orphaned && over.direction === "incoming") this.#hungUp.add(over);
      },
    });
    if (call.id !== null) this.#calls.set(call.id, call);
    return call;
  }

  /** @param {import("../wire.js").Message} message */
  async #send(message) {
    const ends = message.type === "stream_end" || message.type === "stream_decline";
    return ends ? this.#ends.send(message) : this.#parts.submit(message).outcome;
  }

  /** Rings, for the first time or for a call that the server has forgotten. @param {Call} call */
  #announce(call) {
    const { peerId, type, sourceId } = call;
    const pull = sourceId !== this.#parts.deviceId;
    const payload = { stream_type: type, ...(peerId !== null && { to_device_id: peerId }), ...(pull && { source_device_id: sourceId }) };
    const { id, outcome } = this.#parts.submit({ type: "stream_start", payload });
    this.#starting.set(id, call);
    outcome
      .then(
        () => this.#started(call),
        (error) => {
          if (!error.certain) this.#givenUp.add(id);
          this.#refused(call, error);
        },
      )
      .finally(() => this.#starting.delete(id));
  }

  /** @param {{ id: string, stream_id: string }} payload */
  #rings({ id, stream_id }) {
    const call = this.#starting.get(id);
    if (!call && !this.#givenUp.take((given) => given === id)) return false;
    if (!call || call.state === "ended") {
      // Given up before the server had a name for it.
      this.#send({ type: "stream_end", payload: { stream_id } }).catch(() => {});
    } else {
      this.#rename(call, stream_id);
    }
    return true;
  }

  /** @param {Call} call @param {string} id */
  #rename(call, id) {
    if (call.id !== null) this.#calls.delete(call.id);
    call.id = id;
    this.#calls.set(id, call);
  }

  /** The ring was taken by the server. @param {Call} call */
  #started(call) {
    const ring = this.#glare.get(call);
    this.#glare.delete(call);
    if (ring) this.#bothRing(call, ring);
  }

  /** @param {Call} call @param {StreamzError} error */
  #refused(call, error) {
    if (call.state === "ended") return;
    const ring = this.#glare.get(call);
    this.#glare.delete(call);
    if (call.orphaned) {
      const { clock } = this.#parts;
      clock.alarm(clock.now() + ANNOUNCE_MS, () => call.orphaned && call.state === "active" && this.#announce(call));
    } else if (ring && error.code === "busy") {
      this.#answer(call, ring.stream_id);
    } else {
      call.over(error.code, error);
      if (ring) this.#ring(ring);
    }
  }

  /** @param {any} ring */
  #ring(ring) {
    const { stream_id, from_device_id, stream_type, source_device_id } = ring;
    if (this.#calls.has(stream_id)) return true;
    const same = (/** @type {Call} */ call) => call.peerId === from_device_id && call.type === stream_type;
    const orphan = this.all.find((call) => call.orphaned && call.direction === "incoming" && same(call) && call.sourceId === source_device_id);
    if (orphan) {
      this.#announcedAnew(orphan, stream_id);
      return true;
    }
    const over = this.#hungUp.take((call) => same(call) && call.sourceId === source_device_id);
    if (over) {
      this.#send({ type: "stream_decline", payload: { stream_id, reason: over.endReason?.slice(0, REASON_MAX) } }).catch(() => {});
      return true;
    }
    // Both ring each other at once, for the same: that is one call.
    const theirs = { peerId: from_device_id, type: stream_type, sourceId: source_device_id };
    const mine = this.all.find((call) => call.direction === "outgoing" && call.state === "ringing" && this.#mirrors(call, theirs));
    if (mine) {
      if (mine.id === null) this.#glare.set(mine, ring);
      else this.#bothRing(mine, ring);
      return true;
    }
    const call = this.#make({ direction: "incoming", peerId: from_device_id, id: stream_id, type: stream_type, sourceId: source_device_id, media: null });
    this.#present(call, this.#parts.incoming);
    return true;
  }

  /**
   * Whether two rings between the same devices want the same: each side sends what it has.
   * @param {Call} mine
   * @param {Pick<Call, "peerId" | "type" | "sourceId">} theirs
   */
  #mirrors(mine, theirs) {
    const sends = mine.sourceId === this.#parts.deviceId && theirs.sourceId === theirs.peerId;
    return sends && mine.peerId === theirs.peerId && mine.type === theirs.type;
  }

  /**
   * Both rings are alive, because both devices take several streams: the one of the device whose name comes first is
   * the call.
   * @param {Call} mine
   * @param {any} ring
   */
  #bothRing(mine, ring) {
    if (this.#parts.deviceId < ring.from_device_id || mine.state !== "ringing") return;
    if (mine.id !== null) {
      this.#calls.delete(mine.id);
      this.#send({ type: "stream_end", payload: { stream_id: mine.id } }).catch(() => {});
    }
    this.#answer(mine, ring.stream_id);
  }

  /** Our ring becomes the answer to theirs. @param {Call} call @param {string} id */
  #answer(call, id) {
    call.direction = "incoming";
    this.#rename(call, id);
    // Whoever waits for the call hears of it by `accepted`.
    call.accept().catch(() => {});
  }

  /** @param {Call} call @param {string} by */
  #accepted(call, by) {
    if (!call.orphaned) return call.activate(by);
    call.orphaned = false;
    // The server's new stream has to learn the generation of the candidates, and the other side may have begun anew.
    call.restartIce();
  }

  /** @param {Call} call @param {{ reason: string, from_device_id?: string }} payload */
  #ended(call, { reason, from_device_id }) {
    if (from_device_id === undefined && SIGNALING_ENDS.has(reason)) this.#forgotten(call, reason);
    else call.over(reason);
  }

  /**
   * The server does not know it any more. Media that flows needs no server: it flows on, and the one that had rung
   * rings again. If nothing comes of that, the call ends with the true reason.
   * @param {Call} call
   * @param {string} reason
   */
  #forgotten(call, reason) {
    if (call.state !== "active" || call.media !== "connected") return call.over(reason);
    if (call.orphaned) return;
    call.orphaned = true;
    const { clock } = this.#parts;
    const cancel = clock.alarm(clock.now() + ORPHAN_MS, () => call.orphaned && call.over(reason));
    void call.ended.then(cancel);
    if (call.direction === "outgoing") this.#announce(call);
  }

  /** @param {Call} call @param {string} id */
  #announcedAnew(call, id) {
    this.#rename(call, id);
    this.#send({ type: "stream_accept", payload: { stream_id: id } }).then(
      () => {
        call.orphaned = false;
      },
      (error) => call.over(error.code, error),
    );
  }

  /** @param {Call} call @param {string} winner */
  #missedAccept(call, winner) {
    if (call.direction === "outgoing") call.activate(winner);
    else if (winner !== this.#parts.deviceId) call.over("answered_elsewhere");
  }

  /** A stream that this program did not know. @param {import("../wire.js").LiveStream} stream */
  #adopt(stream) {
    const { id, state, from_device_id, to, stream_type, source_device } = stream;
    const { deviceId } = this.#parts;
    const mine = from_device_id === deviceId;
    if (!mine && !to.includes(deviceId)) return;
    const sourceId = source_device?.device_id ?? from_device_id;
    if (state === "ringing") {
      // Whoever rang with a former run of the program has gone.
      if (mine) this.#send({ type: "stream_end", payload: { stream_id: id } }).catch(() => {});
      else this.#ring({ stream_id: id, from_device_id, stream_type, source_device_id: sourceId });
      return;
    }
    const call = this.#make({
      direction: mine ? "outgoing" : "incoming",
      peerId: mine ? to[0] : from_device_id,
      id,
      type: stream_type,
      sourceId,
      media: null,
      ongoing: true,
    });
    this.#present(call, this.#parts.ongoing);
  }

  /**
   * Later, because whoever has just awaited `connect` has not said yet that it listens.
   * @param {Call} call
   * @param {(call: Call) => void} tell
   */
  #present(call, tell) {
    this.#parts.clock.defer(() => call.state !== "ended" && tell(call));
  }
}
