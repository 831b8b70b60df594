import { Calls } from "./call/calls.js";
import { Emitter } from "./emitter.js";
import { StreamzError } from "./errors.js";
import { Link } from "./link.js";
import { Roster } from "./roster.js";
import { onWake } from "./wake.js";

/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {import("./roster.js").KnownDevice} KnownDevice */
/** @typedef {import("./link.js").ConnectionState} ConnectionState */
/** @typedef {import("./call/call.js").Call} Call */

/**
 * @typedef {object} ConnectionEvents
 * @property {ConnectionState} state
 * @property {KnownDevice[]} devices the list, after each change
 * @property {KnownDevice} online another device came
 * @property {KnownDevice} offline another device went
 * @property {KnownDevice} updated a device was renamed, or registered
 * @property {KnownDevice} removed a device was removed from the account
 * @property {Call} incoming a device rings
 * @property {Call} ongoing a call of this device that a former run of the program left: go on with `accept`, or `end` it
 * @property {import("./wire.js").IceServer[]} iceservers renewed credentials
 * @property {Frame} message what belongs to no call: signaling without a stream, errors about frames without an id,
 *   and types that this version does not know
 */

/**
 * This device, online: it knows the others, rings them and is rung.
 * @extends {Emitter<ConnectionEvents>}
 */
export class Connection extends Emitter {
  #tokens;
  #link;
  #calls;
  #roster = new Roster();
  /** @type {import("./wire.js").IceServer[]} */
  #iceServers = [];
  /** @type {(() => void)[]} */
  #offs = [];
  /** @type {(error: StreamzError | undefined) => void} */
  #closed = () => {};

  /**
   * @param {object} parts
   * @param {import("./streamz.js").ThisDevice} parts.device
   * @param {import("./http.js").Http} parts.http
   * @param {import("./tokens.js").Tokens} parts.tokens
   * @param {import("./clock.js").Clock} parts.clock
   * @param {() => number} parts.random
   * @param {boolean} parts.patient
   * @param {any} parts.WebSocket
   * @param {any} [parts.RTCPeerConnection]
   * @param {any} [parts.MediaStream]
   */
  constructor(parts) {
    super();
    /** This device's id. */
    this.deviceId = parts.device.id;
    /**
     * Settles once the connection is over for good, with the reason unless this program closed it.
     * @type {Promise<StreamzError | undefined>}
     */
    this.closed = new Promise((resolve) => {
      this.#closed = resolve;
    });
    this.#tokens = parts.tokens;
    this.#link = new Link({
      ...parts,
      changed: (state) => this.#changed(state),
      heard: (frame) => this.#heard(frame),
    });
    this.#calls = new Calls({
      deviceId: this.deviceId,
      clock: parts.clock,
      random: parts.random,
      RTCPeerConnection: parts.RTCPeerConnection,
      MediaStream: parts.MediaStream,
      submit: (message) => this.#link.submit(message),
      iceServers: () => this.#iceServers,
      device: (id) => this.#roster.get(id),
      incoming: (call) => this.emit("incoming", call),
      // Nobody would go on with it: the other side need not wait.
      ongoing: (call) => (this.listens("ongoing") ? this.emit("ongoing", call) : call.end("device_lost")),
    });
  }

  /** Where the connection stands. */
  get state() {
    return this.#link.state;
  }

  /** The account's devices, this one included. */
  get devices() {
    return this.#roster.all;
  }

  /** STUN and TURN servers with credentials that are good now. */
  get iceServers() {
    return this.#iceServers;
  }

  /** The calls that ring or go on. */
  get calls() {
    return this.#calls.all;
  }

  /** What was counted since the start, for whoever wonders what goes on. */
  get counters() {
    return this.#link.counters;
  }

  /**
   * Rings a device, or all others with `to` null, and streams `media` to whoever answers first. Returns at once: see
   * `Call` for how it goes on.
   * @param {string | null} to
   * @param {MediaStream | null} [media]
   * @param {import("./call/calls.js").StreamOptions} [options]
   * @returns {Call}
   */
  stream(to, media = null, options = {}) {
    if (this.state.name === "closed") throw new StreamzError("closed", "The connection is closed.", { certain: true });
    return this.#calls.start(to, media, options);
  }

  /**
   * Sends a message of the protocol. Resolves once it is delivered; rejects with a `StreamzError` that says why not:
   * exactly one of the two, whatever fails meanwhile.
   * @param {import("./wire.js").Message} message
   * @returns {Promise<void>}
   */
  async send(message) {
    await this.#link.submit(message).outcome;
  }

  /**
   * Sends a message at most once, and never learns what became of it.
   * @param {import("./wire.js").Message} message
   * @throws {StreamzError} `away` without a connection
   */
  sendUnconfirmed(message) {
    this.#link.submitUnconfirmed(message);
  }

  /** Ends the calls, says goodbye, and does not come back. */
  async close() {
    if (this.state.name === "closed") return;
    this.#calls.endAll();
    this.#link.flush();
    this.#link.end();
  }

  /**
   * Connects for the first time; `Streamz.connect` does it.
   * @param {AbortSignal} [signal]
   * @returns {Promise<void>}
   */
  async open(signal) {
    const aborted = () => this.#link.end(new StreamzError("aborted", "Given up by this program.", { cause: signal?.reason }));
    const opened = this.once("state", ({ name }) => name === "online" || name === "closed");
    this.#offs.push(
      this.#tokens.on("renewed", ({ accessToken }) => this.#link.authenticate(accessToken)),
      this.#tokens.on("ended", (error) => this.#link.end(error ?? new StreamzError("signed_out", "Signed out."))),
      onWake((why) => {
        this.#link.wake();
        if (why === "online" || why === "network") this.#calls.networkChanged();
      }),
    );
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
    else void this.#link.dial();
    const { name, error } = await opened;
    signal?.removeEventListener("abort", aborted);
    if (name === "closed") throw error ?? new StreamzError("closed", "Closed by this program.");
  }

  /** @param {ConnectionState} state */
  #changed(state) {
    if (state.name === "closed") {
      for (const off of this.#offs.splice(0)) off();
      this.#calls.connectionClosed(state.error);
      this.#closed(state.error);
    }
    this.emit("state", state);
  }

  /** @param {Frame} frame */
  #heard(frame) {
    const { type, payload } = frame;
    switch (type) {
      case "welcome":
        this.#iceServers = payload.ice_servers;
        this.#calls.renewIceServers(false);
        this.#tellChanges(frame);
        return this.#calls.welcome(payload);
      case "ice_servers":
        this.#iceServers = payload.ice_servers;
        this.#calls.renewIceServers(true);
        return this.emit("iceservers", this.#iceServers);
      case "device_online":
      case "device_offline":
      case "device_updated":
      case "device_removed":
        return this.#tellChanges(frame);
      default:
        if (!this.#calls.handle(frame)) this.emit("message", frame);
    }
  }

  /** @param {Frame} frame */
  #tellChanges(frame) {
    const changes = this.#roster.apply(frame);
    if (changes.length > 0) this.emit("devices", this.#roster.all);
    for (const { kind, device } of changes) {
      // What this device knows of itself is no news to it, but for a new name.
      if (device.device_id !== this.deviceId || kind === "updated") this.emit(kind, device);
    }
  }
}
