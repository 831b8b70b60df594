import { systemClock } from "./clock.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { StreamzError } from "./errors.js";
import { Http } from "./http.js";
import { DeviceApi, StreamApi } from "./resources.js";
import { memoryStorage } from "./storage.js";
import { Tokens } from "./tokens.js";
import { onWake } from "./wake.js";

/** The close code of a connection whose sign-in was ended elsewhere. */
const REVOKED = 4502;

/**
 * @typedef {object} StreamzOptions
 * @property {import("./storage.js").TokenStorage} [storage] where the sign-in is kept; by default in memory
 * @property {any} [WebSocket] the WebSocket class, where there is no global one
 * @property {any} [RTCPeerConnection] the same for WebRTC
 * @property {any} [MediaStream] the same for media streams
 * @property {typeof fetch} [fetch]
 * @property {LockManager} [locks] what makes tabs refresh in turn; by default `navigator.locks`
 * @property {import("./clock.js").Clock} [clock] for tests
 * @property {() => number} [random] for tests
 */

/**
 * Who registers.
 * @typedef {object} Registration
 * @property {string} email
 * @property {string} password 8 to 128 characters
 * @property {string} [firstName]
 * @property {string} [lastName]
 */

/**
 * This device, as it connects.
 * @typedef {object} ThisDevice
 * @property {string} id your own name for it: 1 to 255 characters, the same at every start
 * @property {string} [name] what people call it; used when it is registered
 * @property {string} [type] `phone`, `laptop`, `tv`, `camera`, …; used when it is registered
 * @property {number} [maxStreams] how many streams it takes at a time (1)
 */

/**
 * @typedef {object} StreamzEvents
 * @property {import("./wire.js").User} signedin
 * @property {StreamzError | undefined} signedout with the reason, unless it was `logout()`
 * @property {{ expiresAt: number }} renewed the tokens were refreshed; nothing needs to be done
 */

/**
 * A person's account on one server.
 * @extends {Emitter<StreamzEvents>}
 */
export class Streamz extends Emitter {
  #http;
  #tokens;
  #options;
  #clock;
  /** @type {() => void} */
  #unwake;
  /** @type {Set<Connection>} */
  #connections = new Set();

  /**
   * @param {string | URL} url where the server is, such as `https://streamz.example.org`
   * @param {StreamzOptions} [options]
   */
  constructor(url, options = {}) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#http = new Http(url, options.fetch);
    this.#tokens = new Tokens({
      http: this.#http,
      storage: options.storage ?? memoryStorage(),
      clock: this.#clock,
      ...(options.random && { random: options.random }),
      ...(options.locks && { locks: options.locks }),
    });
    this.#tokens.on("ended", (error) => this.emit("signedout", error));
    this.#tokens.on("renewed", ({ expiresAt }) => this.emit("renewed", { expiresAt }));
    this.#unwake = onWake(() => void this.#tokens.look());
    const call = this.#call.bind(this);
    /** The account's devices. */
    this.devices = new DeviceApi(call);
    /** What was streamed, newest first. */
    this.streams = new StreamApi(call);
  }

  /** @param {Registration} registration @returns {Promise<import("./wire.js").User>} */
  async register({ email, password, firstName, lastName }) {
    const body = { email, password, first_name: firstName, last_name: lastName };
    return this.#begin(await this.#http.request("POST", "/api/auth/register", { body }));
  }

  /** @param {{ email: string, password: string }} credentials @returns {Promise<import("./wire.js").User>} */
  async login({ email, password }) {
    return this.#begin(await this.#http.request("POST", "/api/auth/login", { body: { email, password } }));
  }

  /** Who is signed in, as far as this device knows; null if nobody. @returns {Promise<import("./wire.js").User | null>} */
  async user() {
    return (await this.#tokens.current())?.user ?? null;
  }

  /** Who is signed in, as the server says. @returns {Promise<import("./wire.js").User>} */
  async me() {
    return this.#call("GET", "/api/auth/me");
  }

  /**
   * Ends the sign-in here and on the server; its connections close. It is over here even if the server cannot be
   * reached, and then the error says so.
   */
  async logout() {
    const signIn = await this.#tokens.current();
    if (!signIn) return;
    try {
      await this.#call("POST", "/api/auth/logout");
    } catch (error) {
      // Ended already: that is what was wanted.
      if (!(error instanceof StreamzError) || error.status !== 401) throw error;
    } finally {
      const closing = [...this.#connections].map((connection) => connection.close());
      await this.#tokens.end();
      await Promise.all(closing);
    }
  }

  /**
   * Gives the account another password. Every other sign-in ends: its devices are closed with 4502. This one goes on.
   * @param {{ currentPassword: string, newPassword: string }} passwords the new one has 8 to 128 characters
   * @returns {Promise<void>}
   * @throws {StreamzError} `wrong_password`, `rate_limited`, `invalid_fields`
   */
  async changePassword({ currentPassword, newPassword }) {
    const body = { current_password: currentPassword, new_password: newPassword };
    await this.#call("PUT", "/api/auth/password", { body });
  }

  /** The account's sign-ins, the one that was used last first. @returns {Promise<import("./wire.js").Session[]>} */
  async sessions() {
    return (await this.#call("GET", "/api/auth/sessions")).sessions;
  }

  /**
   * Ends one of them: its devices are closed with 4502. To end this one, `logout()`.
   * @param {string} id
   * @returns {Promise<void>}
   * @throws {StreamzError} `session_not_found`
   */
  async endSession(id) {
    await this.#call("DELETE", `/api/auth/sessions/${encodeURIComponent(id)}`);
  }

  /**
   * Deletes the account with everything that is in it, and ends the sign-in here. Nothing brings it back.
   * @param {string} password
   * @returns {Promise<void>}
   * @throws {StreamzError} `wrong_password`, `rate_limited`
   */
  async deleteAccount(password) {
    await this.#call("DELETE", "/api/auth/me", { body: { password } });
    const closing = [...this.#connections].map((connection) => connection.close());
    await this.#tokens.end();
    await Promise.all(closing);
  }

  /** An access token that is good for now, refreshed if need be. */
  accessToken() {
    return this.#tokens.token();
  }

  /** STUN and TURN servers with credentials that lapse. A connection keeps its own fresh: see `Connection.iceServers`. */
  async iceServers() {
    const { ice_servers } = await this.#call("GET", "/api/ice-servers");
    return /** @type {import("./wire.js").IceServer[]} */ (ice_servers);
  }

  /**
   * Brings this device online: resolves once the server welcomed it. After that the connection comes back by itself
   * until `close()`, or until its `state` says `closed`.
   * @param {ThisDevice} device
   * @param {{ patient?: boolean, signal?: AbortSignal }} [options] with `patient`, a server that cannot be reached is
   *   tried again instead of being an error
   * @returns {Promise<Connection>}
   */
  async connect(device, { patient = false, signal } = {}) {
    const connection = new Connection({
      device,
      http: this.#http,
      tokens: this.#tokens,
      clock: this.#clock,
      patient,
      random: this.#options.random ?? Math.random,
      WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
      RTCPeerConnection: this.#options.RTCPeerConnection ?? globalThis.RTCPeerConnection,
      MediaStream: this.#options.MediaStream ?? globalThis.MediaStream,
    });
    this.#connections.add(connection);
    connection.closed.then((error) => {
      this.#connections.delete(connection);
      // The sign-in was revoked elsewhere: a refresh finds out, and says so.
      if (error?.closeCode === REVOKED) this.#tokens.renew().catch(() => {});
    });
    await connection.open(signal);
    return connection;
  }

  /** Closes all connections and ends the renewals; the sign-in stays valid. */
  async close() {
    this.#unwake();
    this.#tokens.stop();
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }

  /** @param {import("./wire.js").TokenResponse} response */
  async #begin(response) {
    const { user } = await this.#tokens.begin(response);
    this.emit("signedin", user);
    return user;
  }

  /**
   * A request with a token; once more with a new one if the server did not take it.
   * @param {string} method
   * @param {string} path
   * @param {Omit<import("./http.js").RequestOptions, "token">} [options]
   */
  async #call(method, path, options = {}) {
    const token = await this.#tokens.token();
    try {
      return await this.#http.request(method, path, { ...options, token });
    } catch (error) {
      if (!(error instanceof StreamzError) || error.status !== 401) throw error;
      if (error.code === "revoked") {
        await this.#tokens.end(error);
        throw error;
      }
      return this.#http.request(method, path, { ...options, token: await this.#tokens.token(token) });
    }
  }
}
