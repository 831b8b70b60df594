// One session without I/O: what is sent, what is confirmed, what is told to the program, and what survives a
// connection. The rules are those of docs/protocol.md, delivery.
//
// A connection's life is `dial`, then `receive` and `nextFrame` as often as needed, then `hangUp`. After each
// `receive` with an event, `taken` says that the program has it: only then may it be acknowledged, because the
// sender is told `delivered` for it.

import { StreamzError } from "./errors.js";
import { Seen } from "./seen.js";
import { byteLength, outcomeError } from "./outcome.js";
import { LIMITS } from "./wire.js";

/** Sequenced frames after which an `ack` is due even if more can be read at once. */
export const ACK_EVERY = 16;

/** What answers a message of this client, and is no news for the program. */
const OUTCOMES = new Set(["delivered", "not_delivered"]);

/**
 * @template W whatever waits for an outcome
 * @typedef {object} Entry
 * @property {string} text
 * @property {number} bytes
 * @property {string} [id] with it, the entry stays until its outcome; without, until it is sent
 * @property {W} [waiter]
 * @property {number} since when it was given
 * @property {boolean} sent at least once in the present session
 * @property {boolean} everSent
 */

/**
 * @template W
 * @typedef {{ waiter: W, id: string, error?: StreamzError }} Settled
 */

/**
 * What a frame means.
 * @template W
 * @typedef {{ event?: import("./wire.js").Frame, settled: Settled<W>[] }} Heard
 */

/** @template W */
export class Session {
  /** @type {"down" | "greeting" | "up"} */
  #link = "down";
  /** @type {string | undefined} */
  #id;
  #lastSeq = 0;
  #takenSeq = 0;
  #ackedSeq = 0;
  #takenSinceAck = 0;
  #ackDue = false;
  /** Something came twice: the server may have missed an `ack`. */
  #ackAgain = false;
  /** Among what is unconfirmed is something that another device may wait for. Nobody waits for an outcome's `ack`. */
  #awaited = false;
  #seen = new Seen();
  /** In the order in which they were given; those before the cursor were sent on this connection. @type {Entry<W>[]} */
  #queue = [];
  #queueBytes = 0;
  #cursor = 0;
  /** @type {string | undefined} */
  #token;
  #ping = false;
  #nextId = 1;

  /** @param {{ [Name in keyof typeof LIMITS]?: number }} [limits] */
  constructor(limits = {}) {
    this.limits = { ...LIMITS, ...limits };
    /** For whoever wonders what goes on. */
    this.counters = { received: 0, sent: 0, sentAgain: 0, acks: 0, repeatedSeq: 0, repeatedMid: 0, strayOutcomes: 0 };
  }

  /** What the next connection asks to go on with. */
  get resumePoint() {
    return this.#id === undefined ? undefined : { sessionId: this.#id, lastSeq: this.#lastSeq };
  }

  /** Messages that wait for their outcome or for the socket. */
  get backlog() {
    return this.#queue.length;
  }

  /** A connection was made; its first frame must be `welcome`. */
  dial() {
    this.#link = "greeting";
  }

  /** The connection is gone. What has an `id` waits for the next one; what has none was sent or is lost. */
  hangUp() {
    this.#link = "down";
    this.#cursor = 0;
    this.#ackDue = this.#ackAgain = this.#ping = false;
    this.#token = undefined;
    this.#queue = this.#queue.filter((entry) => entry.id !== undefined);
    this.#queueBytes = this.#queue.reduce((sum, entry) => sum + entry.bytes, 0);
  }

  /**
   * The client is over: gives back who waits in vain.
   * @returns {W[]}
   */
  giveUp() {
    const waiters = this.#queue.flatMap((entry) => (entry.waiter === undefined ? [] : [entry.waiter]));
    this.#queue = [];
    this.#queueBytes = this.#cursor = 0;
    return waiters;
  }

  /**
   * Takes a message that will have an outcome. It is sent once connected, and after every reconnect until its
   * outcome is there.
   * @param {import("./wire.js").Message} message
   * @param {W} waiter
   * @param {number} now
   * @returns {string} its `id`
   * @throws {StreamzError} `backlog`, `too_large`
   */
  submit({ type, payload = {} }, waiter, now) {
    const id = `m${this.#nextId}`;
    this.#push(JSON.stringify({ type, payload, id }), { id, waiter, since: now });
    this.#nextId += 1;
    return id;
  }

  /**
   * Takes a message without an `id`: it is sent at most once, on this connection or never.
   * @param {import("./wire.js").Message} message
   * @param {number} now
   * @throws {StreamzError} `away`, `backlog`, `too_large`
   */
  submitUnconfirmed({ type, payload = {} }, now) {
    if (this.#link !== "up") {
      throw new StreamzError("away", "Not connected, and this message does not wait for that.", { retryable: true, certain: true });
    }
    this.#push(JSON.stringify({ type, payload }), { since: now });
  }

  /** Sends a `ping` if there is a connection. */
  ping() {
    this.#ping = this.#link === "up";
  }

  /**
   * Sends a new access token if there is a connection; the next one begins with its own.
   * @param {string} token
   */
  authenticate(token) {
    if (this.#link === "up") this.#token = JSON.stringify({ type: "auth", payload: { token } });
  }

  /**
   * The next frame for the socket. Acknowledgements go first: other devices wait for them.
   * @returns {string | undefined}
   */
  nextFrame() {
    if (this.#link !== "up") return undefined;
    if (this.#ackDue) {
      this.#ackDue = this.#ackAgain = false;
      this.#takenSinceAck = 0;
      this.#ackedSeq = this.#takenSeq;
      this.#awaited &&= this.#lastSeq > this.#ackedSeq;
      this.counters.acks += 1;
      return JSON.stringify({ type: "ack", payload: { seq: this.#takenSeq } });
    }
    if (this.#token !== undefined) {
      const token = this.#token;
      this.#token = undefined;
      return token;
    }
    if (this.#ping) {
      this.#ping = false;
      return '{"type":"ping"}';
    }
    const entry = this.#queue[this.#cursor];
    if (!entry) return undefined;
    this.counters[entry.sent ? "sentAgain" : "sent"] += 1;
    if (entry.id === undefined) {
      this.#remove(this.#cursor);
    } else {
      this.#cursor += 1;
      entry.sent = entry.everSent = true;
    }
    return entry.text;
  }

  /**
   * Takes a frame from the server.
   * @param {unknown} text
   * @param {number} now
   * @returns {Heard<W>}
   * @throws {StreamzError} `protocol`: the connection is of no use any more
   */
  receive(text, now) {
    this.counters.received += 1;
    const frame = readFrame(text);
    if (this.#link !== "up") {
      if (frame.type !== "welcome") throw violation("The first frame is not a welcome.");
      return { event: frame, settled: this.#welcome(frame.payload, now) };
    }
    if (frame.type === "welcome") throw violation("A second welcome on one connection.");
    /** @type {Heard<W>} */
    const heard = { settled: [] };
    if (this.#isNew(frame)) {
      const id = frame.payload.id ?? frame.id;
      if (OUTCOMES.has(frame.type) || (frame.type === "error" && id !== undefined)) {
        heard.settled = this.#settle(String(id), outcomeError(frame));
      } else {
        heard.event = frame;
      }
    }
    this.#awaited ||= heard.settled.length === 0 && this.#lastSeq > this.#ackedSeq;
    if (heard.event === undefined) this.taken();
    return heard;
  }

  /** The program has all that was received. */
  taken() {
    if (this.#takenSeq < this.#lastSeq) {
      this.#takenSeq = this.#lastSeq;
      this.#takenSinceAck += 1;
      this.#ackDue ||= this.#takenSinceAck >= ACK_EVERY;
    }
  }

  /** Nothing more can be read at once: what is unconfirmed is confirmed now, unless it is outcomes alone. */
  idle() {
    if (this.#link !== "up") return;
    this.#ackDue ||= (this.#takenSeq > this.#ackedSeq && this.#awaited) || this.#ackAgain;
  }

  /** A heartbeat has passed: what is still unconfirmed goes with the next `idle`, so that the server may forget it. */
  heartbeat() {
    this.#awaited ||= this.#lastSeq > this.#ackedSeq;
  }

  /**
   * Settles what has waited too long for a connection. While there is one, the server settles everything in time.
   * @param {number} now
   * @returns {Settled<W>[]}
   */
  expire(now) {
    if (this.#link === "up") return [];
    return this.#expire(now);
  }

  /** When `expire` has something to do, if it ever does. @returns {number | undefined} */
  get expiresAt() {
    const first = this.#queue.find((entry) => entry.id !== undefined);
    return this.#link === "up" || !first ? undefined : first.since + this.limits.messageLifeMs;
  }

  /** @param {number} now */
  #expire(now) {
    const old = this.#queue.filter((entry) => entry.id !== undefined && entry.since + this.limits.messageLifeMs <= now);
    return old.flatMap((entry) => {
      const text = "There was no connection for as long as a message may wait.";
      const error = new StreamzError("expired", text, { retryable: true, certain: !entry.everSent });
      return this.#settleEntry(this.#queue.indexOf(entry), error);
    });
  }

  /**
   * @param {import("./wire.js").Welcome} welcome
   * @param {number} now
   * @returns {Settled<W>[]}
   */
  #welcome(welcome, now) {
    if (typeof welcome.session_id !== "string" || !Array.isArray(welcome.devices)) {
      throw violation("The welcome cannot be read.");
    }
    welcome.resumed = welcome.resumed === true && this.#id === welcome.session_id;
    /** @type {Settled<W>[]} */
    let settled = [];
    if (!welcome.resumed) {
      // What was seen of other sessions stays true, and closes the gap that a lost hub and gateway leave.
      this.#id = welcome.session_id;
      this.#lastSeq = this.#takenSeq = 0;
      // A new session gives every message a new life, so what is no longer worth sending is settled here.
      settled = this.#expire(now);
      for (const entry of this.#queue) entry.sent = false;
    }
    this.#link = "up";
    // Said with the connection's request.
    this.#ackedSeq = this.#lastSeq;
    this.#awaited = false;
    this.#takenSinceAck = 0;
    this.#cursor = 0;
    return settled;
  }

  /**
   * Whether neither its `seq` nor its `mid` has been there. Sequence numbers may be skipped, never repeated.
   * @param {import("./wire.js").Frame} frame
   */
  #isNew({ seq, mid }) {
    if (typeof seq === "number") {
      if (seq <= this.#lastSeq) {
        this.counters.repeatedSeq += 1;
        this.#ackAgain = true;
        return false;
      }
      this.#lastSeq = seq;
    }
    if (typeof mid === "string" && !this.#seen.insert(mid)) {
      this.counters.repeatedMid += 1;
      return false;
    }
    return true;
  }

  /**
   * @param {string} id
   * @param {StreamzError | undefined} error
   */
  #settle(id, error) {
    // Outcomes come roughly in order, so the one that is sought stands near the front.
    const at = this.#queue.findIndex((entry) => entry.id === id);
    // One that was not sent in this session cannot have an outcome of it.
    if (at < 0 || !this.#queue[at].sent) {
      this.counters.strayOutcomes += 1;
      return [];
    }
    return this.#settleEntry(at, error);
  }

  /**
   * @param {number} at
   * @param {StreamzError | undefined} error
   * @returns {Settled<W>[]}
   */
  #settleEntry(at, error) {
    const { waiter, id } = this.#remove(at);
    return waiter === undefined || id === undefined ? [] : [{ waiter, id, ...(error && { error }) }];
  }

  /** @param {number} at */
  #remove(at) {
    const [entry] = this.#queue.splice(at, 1);
    if (at < this.#cursor) this.#cursor -= 1;
    this.#queueBytes -= entry.bytes;
    return entry;
  }

  /**
   * @param {string} text
   * @param {{ id?: string, waiter?: W, since: number }} rest
   */
  #push(text, rest) {
    const bytes = byteLength(text);
    const { frameBytes, unsettledMessages, unsettledBytes } = this.limits;
    if (bytes > frameBytes) {
      throw new StreamzError("too_large", `The message has ${bytes} bytes, ${frameBytes} are allowed.`, { certain: true });
    }
    if (this.#queue.length >= unsettledMessages || this.#queueBytes + bytes > unsettledBytes) {
      throw new StreamzError("backlog", "Too many messages wait for their outcome.", { retryable: true, certain: true });
    }
    this.#queueBytes += bytes;
    this.#queue.push({ text, bytes, sent: false, everSent: false, ...rest });
  }
}

/**
 * @param {unknown} text
 * @returns {import("./wire.js").Frame}
 */
function readFrame(text) {
  let frame;
  try {
    frame = typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    // Falls through: what cannot be parsed is no frame.
  }
  if (typeof frame?.type !== "string") throw violation("A frame is not a JSON object with a type.");
  if (typeof frame.payload !== "object" || frame.payload === null) frame.payload = {};
  return frame;
}

/** @param {string} text */
function violation(text) {
  return new StreamzError("protocol", text, { retryable: true });
}
