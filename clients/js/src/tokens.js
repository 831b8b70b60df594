import { Backoff } from "./backoff.js";
import { Emitter } from "./emitter.js";
import { StreamzError } from "./errors.js";

/** @typedef {import("./storage.js").SignIn} SignIn */

/**
 * @typedef {object} TokenEvents
 * @property {SignIn} renewed new tokens of the same sign-in
 * @property {StreamzError | undefined} ended the sign-in is over: by a logout, or for the reason given
 */

/** An access token is replaced this long before it lapses, or when two thirds of its life are over. */
const MARGIN_MS = 90_000;

/**
 * One refresh at a time among those that share a storage within this program; across tabs `navigator.locks` does it.
 * @type {WeakMap<import("./storage.js").TokenStorage, Promise<unknown>>}
 */
const queues = new WeakMap();

/**
 * Keeps a sign-in alive. A refresh token is good for one use, and its reuse ends the sign-in everywhere: so whoever
 * refreshes holds a lock, and looks first whether somebody else has just done it. Which token takes its place is chosen
 * beforehand and kept with it: a request whose answer was lost, or that two tabs make at once because their page has no
 * locks, is the same request, and has the same answer.
 * @extends {Emitter<TokenEvents>}
 */
export class Tokens extends Emitter {
  #http;
  #storage;
  #clock;
  #locks;
  #backoff;
  /** @type {(() => void) | undefined} */
  #cancel;
  /** @type {Promise<SignIn> | undefined} */
  #refreshing;
  #stopped = false;

  /**
   * @param {object} parts
   * @param {import("./http.js").Http} parts.http
   * @param {import("./storage.js").TokenStorage} parts.storage
   * @param {import("./clock.js").Clock} parts.clock
   * @param {() => number} [parts.random]
   * @param {LockManager} [parts.locks]
   */
  constructor({ http, storage, clock, random, locks = globalThis.navigator?.locks }) {
    super();
    this.#http = http;
    this.#storage = storage;
    this.#clock = clock;
    this.#locks = locks;
    this.#backoff = new Backoff({ baseMs: 1_000, capMs: 60_000, ...(random && { random }) });
  }

  /** The sign-in, if there is one. */
  async current() {
    return (await this.#storage.read()) ?? null;
  }

  /**
   * A sign-in has begun.
   * @param {import("./wire.js").TokenResponse} response
   */
  async begin(response) {
    const signIn = this.#signIn(response);
    await this.#exclusively(() => this.#storage.write(signIn));
    this.#renewed(signIn);
    return signIn;
  }

  /**
   * An access token that is good for now.
   * @param {string} [refused] one that the server did not take: another is needed
   * @returns {Promise<string>}
   * @throws {StreamzError} `signed_out`, or why there can be none
   */
  async token(refused) {
    const signIn = await this.current();
    if (!signIn) throw signedOut();
    this.#schedule(signIn);
    const lapses = this.#clock.now() >= signIn.expiresAt - Math.min(5_000, signIn.lifeMs / 10);
    if (!lapses && signIn.accessToken !== refused) return signIn.accessToken;
    return (await this.refresh(signIn)).accessToken;
  }

  /**
   * New tokens, unless somebody else who shares the storage has just got them.
   * @param {SignIn} old
   * @returns {Promise<SignIn>}
   */
  refresh(old) {
    this.#refreshing ??= this.#exclusively(() => this.#refresh(old)).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** New tokens, whatever the old ones are good for. */
  async renew() {
    const signIn = await this.current();
    if (!signIn) throw signedOut();
    return this.refresh(signIn);
  }

  /** The sign-in is over. @param {StreamzError} [error] */
  async end(error) {
    this.#cancel?.();
    const was = await this.#storage.read();
    await this.#storage.clear();
    if (was) this.emit("ended", error);
  }

  /** No renewals by itself any more. */
  stop() {
    this.#stopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** The machine woke: what was to happen meanwhile happens now. */
  async look() {
    const signIn = await this.current();
    if (signIn) this.#schedule(signIn);
  }

  /** @param {SignIn} old */
  async #refresh(old) {
    const kept = await this.#storage.read();
    if (!kept) throw signedOut();
    if (kept.refreshToken !== old.refreshToken) {
      this.#renewed(kept);
      return kept;
    }
    try {
      const body = { refresh_token: kept.refreshToken, new_refresh_token: kept.nextRefreshToken };
      const signIn = this.#signIn(await this.#http.request("POST", "/api/auth/refresh", { body }));
      // It may have ended meanwhile, here or in another tab.
      const now = await this.#storage.read();
      if (!now) throw signedOut();
      if (now.refreshToken !== kept.refreshToken) {
        this.#renewed(now);
        return now;
      }
      // Before anything else: the old one is spent.
      await this.#storage.write(signIn);
      this.#backoff.reset();
      this.#renewed(signIn);
      return signIn;
    } catch (error) {
      if (error instanceof StreamzError && error.status === 401 && !error.retryable) await this.end(error);
      throw error;
    }
  }

  /** @param {SignIn} signIn */
  #renewed(signIn) {
    this.#schedule(signIn);
    this.emit("renewed", signIn);
  }

  /** @param {SignIn} signIn */
  #schedule(signIn) {
    const margin = Math.min(MARGIN_MS, signIn.lifeMs / 3);
    this.#alarm(signIn, signIn.expiresAt - margin);
  }

  /** @param {SignIn} signIn @param {number} at */
  #alarm(signIn, at) {
    this.#cancel?.();
    if (this.#stopped) return;
    this.#cancel = this.#clock.alarm(at, () => {
      this.refresh(signIn).catch((error) => {
        // Whoever needs a token before it works again will see the error; a final one was told by `end`.
        if (!(error instanceof StreamzError) || !error.retryable) return;
        this.#alarm(signIn, this.#clock.now() + (error.retryAfterMs ?? 0) + this.#backoff.next());
      });
    });
  }

  /**
   * @template T
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  #exclusively(work) {
    const { lock } = this.#storage;
    if (lock !== undefined && this.#locks) {
      return /** @type {Promise<T>} */ (this.#locks.request(lock, async () => work()));
    }
    const before = queues.get(this.#storage) ?? Promise.resolve();
    const mine = before.then(work, work);
    queues.set(this.#storage, mine);
    return mine;
  }

  /**
   * @param {import("./wire.js").TokenResponse} response
   * @returns {SignIn}
   */
  #signIn({ user, access_token, refresh_token, expires_in }) {
    const lifeMs = expires_in * 1000;
    const expiresAt = this.#clock.now() + lifeMs;
    return { user, accessToken: access_token, refreshToken: refresh_token, nextRefreshToken: newToken(), expiresAt, lifeMs };
  }
}

function signedOut() {
  return new StreamzError("signed_out", "Nobody is signed in: call login() or register() first.", { status: 401 });
}

/** A refresh token of our own choice: 256 random bits, written as the server writes its own. */
function newToken() {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  return `srt_${btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}
