import { Backoff } from "./backoff.js";
import { closeError } from "./close_codes.js";
import { StreamzError } from "./errors.js";
import { Liveness } from "./liveness.js";
import { MAX_WAIT_MS, Retry } from "./retry.js";
import { Session } from "./session.js";
import { Socket } from "./socket.js";
import { BEARER_PREFIX, SUBPROTOCOL } from "./wire.js";

/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {{ resolve: () => void, reject: (error: StreamzError) => void }} Waiter */

/**
 * Where the connection stands. `away` comes back by itself, at `retryAt`; `closed` does not, and `error` says why
 * unless this program closed it.
 * @typedef {object} ConnectionState
 * @property {"connecting" | "online" | "away" | "closed"} name
 * @property {boolean} [resumed] online: whether nothing was lost since the last time
 * @property {StreamzError} [error]
 * @property {number} [retryAt] milliseconds since the epoch
 */

/** How long a connection and its `welcome` may take. */
const WELCOME_MS = 15_000;

/** A machine that announces itself over and over does not make us dial more often than this. */
const WAKE_MS = 1_000;

/**
 * The one place where socket, clock and tokens meet the rules of the session: keeps one WebSocket up.
 */
export class Link {
  #parts;
  #clock;
  /** @type {Session<Waiter>} */
  #session = new Session();
  #retry;
  /** @type {ConnectionState} */
  #state = { name: "connecting" };
  /** @type {Socket | undefined} */
  #socket;
  /** Given up, but not told so before the next one is welcomed: the server would call this device offline. @type {Socket[]} */
  #stale = [];
  /** @type {Liveness | undefined} */
  #liveness;
  #armedFor = 0;
  /** @type {number | undefined} */
  #welcomedAt;
  #dialledAt = 0;
  #attempt = 0;
  /** @type {string | undefined} */
  #token;
  #flushing = false;
  /** What cancels each alarm. @type {Map<string, () => void>} */
  #alarms = new Map();

  /**
   * @param {object} parts
   * @param {import("./streamz.js").ThisDevice} parts.device
   * @param {import("./http.js").Http} parts.http
   * @param {Pick<import("./tokens.js").Tokens, "token">} parts.tokens
   * @param {import("./clock.js").Clock} parts.clock
   * @param {() => number} parts.random
   * @param {boolean} parts.patient
   * @param {any} parts.WebSocket
   * @param {(state: ConnectionState) => void} parts.changed
   * @param {(frame: Frame) => void} parts.heard
   */
  constructor(parts) {
    if (typeof parts.WebSocket !== "function") {
      throw new StreamzError("unsupported", "There is no WebSocket here: give a class as the option WebSocket.");
    }
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#retry = new Retry({ patient: parts.patient, backoff: new Backoff({ random: parts.random }) });
  }

  get state() {
    return this.#state;
  }

  get counters() {
    return { ...this.#session.counters, backlog: this.#session.backlog };
  }

  /** Takes a message that will have an outcome. @param {import("./wire.js").Message} message */
  submit(message) {
    let id = "";
    /** @type {Promise<void>} */
    const outcome = new Promise((resolve, reject) => {
      if (this.#state.name === "closed") {
        throw new StreamzError("closed", "The connection is closed.", { certain: true });
      }
      id = this.#session.submit(message, { resolve, reject }, this.#clock.now());
    });
    this.flush();
    this.#armExpiry();
    return { id, outcome };
  }

  /** @param {import("./wire.js").Message} message */
  submitUnconfirmed(message) {
    this.#session.submitUnconfirmed(message, this.#clock.now());
    this.flush();
  }

  /** Connects, now. */
  async dial() {
    const attempt = ++this.#attempt;
    this.#cancel("retry");
    this.#dialledAt = this.#clock.now();
    this.#set({ name: "connecting" });
    const { tokens, http, device } = this.#parts;
    let token;
    try {
      token = await tokens.token(this.#retry.needsNewToken ? this.#token : undefined);
    } catch (error) {
      if (attempt === this.#attempt) this.#lost({ kind: "token", error: asError(error) });
      return;
    }
    // Closed, or dialled anew, while the token was on its way.
    if (attempt !== this.#attempt) return;
    this.#token = token;
    this.#retry.gotToken();
    const resume = this.#session.resumePoint;
    const url = http.socketUrl({
      device_id: device.id,
      device_name: device.name,
      device_type: device.type,
      max_streams: device.maxStreams,
      session_id: resume?.sessionId,
      last_seq: resume?.lastSeq,
    });
    this.#liveness = new Liveness(this.#clock.now(), WELCOME_MS);
    try {
      this.#socket = new Socket(this.#parts.WebSocket, url, [SUBPROTOCOL, BEARER_PREFIX + token], {
        open: () => this.#session.dial(),
        message: (data) => this.#receive(data),
        close: (code, reason) => this.#lost({ kind: "closed", error: this.#closeError(code, reason) }),
      });
    } catch (error) {
      return this.#lost({ kind: "lost", error: asError(error) });
    }
    this.#armLiveness();
  }

  /** @param {number} code @param {string} reason */
  #closeError(code, reason) {
    if (this.#welcomedAt !== undefined || code !== 1006) return closeError(code, reason);
    // A browser hides from the page what the server answered to a refused upgrade.
    const text = "The server cannot be reached, or refuses this page: its origin must be among ALLOWED_ORIGINS.";
    return new StreamzError("network", text, { closeCode: code, retryable: true });
  }

  /** @param {unknown} data */
  #receive(data) {
    const now = this.#clock.now();
    this.#liveness?.heard(now);
    let heard;
    try {
      heard = this.#session.receive(data, now);
    } catch (error) {
      return this.#lost({ kind: "lost", error: asError(error) });
    }
    this.#settle(heard.settled);
    if (heard.event) {
      this.#handle(heard.event);
      this.#session.taken();
    }
    this.#armLiveness();
    this.#flushSoon();
  }

  /** @param {Frame} frame */
  #handle(frame) {
    const { type, payload } = frame;
    const now = this.#clock.now();
    switch (type) {
      case "welcome":
        this.#welcomedAt = now;
        this.#retry.online();
        this.#liveness?.welcome(now, payload.heartbeat_interval_ms);
        this.#closeStale();
        this.#cancel("expiry");
        this.#parts.heard(frame);
        // Whoever listens may have closed it.
        if (this.#state.name === "closed") return;
        return this.#set({ name: "online", resumed: payload.resumed });
      case "reconnect": {
        const wait = Math.min(Number(payload.after_ms) || 0, MAX_WAIT_MS);
        const moved = new StreamzError("draining", "This server is going away.", { retryable: true });
        return this.#alarm("move", now + wait, () => this.#lost({ kind: "moved", error: moved }));
      }
      case "token_expiring":
        // If there is none in time the server closes with 4001, and the next attempt begins with a new one.
        return void this.#parts.tokens.token(this.#token).then((token) => this.authenticate(token), () => {});
      case "pong":
        return this.#session.heartbeat();
      default:
        this.#parts.heard(frame);
    }
  }

  /** @param {import("./retry.js").Lost} lost */
  #lost(lost) {
    if (this.#state.name === "closed") return;
    const now = this.#clock.now();
    this.#attempt += 1;
    for (const name of ["liveness", "move"]) this.#cancel(name);
    this.#closeStale();
    if (this.#socket && lost.kind !== "closed") {
      this.#socket.detach();
      this.#stale.push(this.#socket);
    }
    this.#socket = undefined;
    const onlineFor = this.#welcomedAt === undefined ? 0 : now - this.#welcomedAt;
    this.#welcomedAt = undefined;
    this.#session.hangUp();
    const next = this.#retry.lost(lost, onlineFor);
    if ("end" in next) return this.end(next.end);
    const retryAt = now + next.again;
    this.#alarm("retry", retryAt, () => void this.dial(), { hold: true });
    this.#armExpiry();
    this.#set({ name: "away", error: lost.error, retryAt });
  }

  /** Over for good. @param {StreamzError} [error] */
  end(error) {
    if (this.#state.name === "closed") return;
    this.#attempt += 1;
    for (const cancel of this.#alarms.values()) cancel();
    this.#alarms.clear();
    this.#closeStale();
    this.#socket?.close();
    this.#socket = undefined;
    this.#session.hangUp();
    this.#set({ name: "closed", ...(error && { error }) });
    const text = "The connection closed before the outcome was known.";
    for (const { reject } of this.#session.giveUp()) {
      reject(new StreamzError("closed", text, { certain: false, cause: error }));
    }
  }

  #closeStale() {
    for (const socket of this.#stale.splice(0)) socket.close();
  }

  /** The machine woke or the network changed: what was thought about the connection may be wrong. */
  wake() {
    const now = this.#clock.now();
    if (this.#state.name === "away") {
      this.#alarm("retry", Math.max(now, this.#dialledAt + WAKE_MS), () => void this.dial(), { hold: true });
    } else if (this.#liveness?.doubt(now) === "ping") {
      this.#session.ping();
      this.flush();
      this.#armLiveness();
    }
  }

  /** A newer access token, for this connection or the next. @param {string} token */
  authenticate(token) {
    if (token === this.#token) return;
    this.#token = token;
    this.#session.authenticate(token);
    this.flush();
  }

  /** @param {import("./session.js").Settled<{ resolve: () => void, reject: (error: StreamzError) => void }>[]} settled */
  #settle(settled) {
    for (const { waiter, error } of settled) {
      if (error) waiter.reject(error);
      else waiter.resolve();
    }
  }

  /** Writes once whatever has already arrived was handled, so that one `ack` serves for many frames. */
  #flushSoon() {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#clock.defer(() => {
      this.#flushing = false;
      this.#session.idle();
      this.flush();
    });
  }

  /** Writes what there is to write. */
  flush() {
    for (let text = this.#session.nextFrame(); text !== undefined; text = this.#session.nextFrame()) {
      this.#socket?.send(text);
    }
  }

  #armLiveness() {
    const liveness = this.#liveness;
    // Most frames only put the deadline off: the alarm that is set looks again when it rings.
    if (!liveness || !this.#socket || (this.#alarms.has("liveness") && this.#armedFor <= liveness.deadline)) return;
    this.#armedFor = liveness.deadline;
    this.#alarm("liveness", this.#armedFor, () => {
      const look = liveness.look(this.#clock.now());
      if (look === "dead") {
        const text = this.#welcomedAt === undefined ? "The server did not answer in time." : "The server fell silent.";
        return this.#lost({ kind: "lost", error: new StreamzError("silent", text, { retryable: true }) });
      }
      if (look === "ping") {
        this.#session.ping();
        this.flush();
      }
      this.#armLiveness();
    });
  }

  #armExpiry() {
    const at = this.#session.expiresAt;
    if (at === undefined) return;
    this.#alarm("expiry", at, () => {
      this.#settle(this.#session.expire(this.#clock.now()));
      this.#armExpiry();
    });
  }

  /** @param {string} name @param {number} at @param {() => void} call @param {{ hold?: boolean }} [options] */
  #alarm(name, at, call, options) {
    this.#cancel(name);
    const cancel = this.#clock.alarm(at, () => {
      this.#alarms.delete(name);
      call();
    }, options);
    this.#alarms.set(name, cancel);
  }

  /** @param {string} name */
  #cancel(name) {
    this.#alarms.get(name)?.();
    this.#alarms.delete(name);
  }

  /** @param {ConnectionState} state */
  #set(state) {
    this.#state = state;
    this.#parts.changed(state);
  }
}

/** @param {unknown} error */
function asError(error) {
  if (error instanceof StreamzError) return error;
  return new StreamzError("network", String(error), { retryable: true, cause: error });
}
