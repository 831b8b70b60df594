// Whether to come back after a connection was lost, when, and with which token: a decision without I/O.

import { Backoff } from "./backoff.js";
import { comesBack } from "./close_codes.js";

/** A connection that lasted this long was a good one: the next failure is a first one again. */
const GOOD_MS = 5_000;

/** The longest that a server can send a client away for. */
export const MAX_WAIT_MS = 300_000;

/**
 * How a connection or an attempt ended: the error says what the server or the network said. `moved` is a change of
 * server on its request; `token` says that there was none to connect with.
 * @typedef {{ kind: "closed" | "lost" | "moved" | "token", error: import("./errors.js").StreamzError }} Lost
 */

/**
 * @typedef {{ again: number } | { end: import("./errors.js").StreamzError }} Next
 */

export class Retry {
  #backoff;
  #patient;
  #everOnline = false;
  /** A new token was asked for because the server refused one, and there was no good connection since. */
  #refused = false;

  /**
   * @param {object} [options]
   * @param {boolean} [options.patient] whether the first attempt may fail and be repeated
   * @param {Backoff} [options.backoff]
   */
  constructor({ patient = false, backoff = new Backoff() } = {}) {
    this.#patient = patient;
    this.#backoff = backoff;
    /** Whether the next attempt needs another token than the last one. */
    this.needsNewToken = false;
  }

  /** There is a token: until it is refused, it will do. */
  gotToken() {
    this.needsNewToken = false;
  }

  /** Welcomed. */
  online() {
    this.#everOnline = true;
  }

  /**
   * @param {Lost} lost
   * @param {number} onlineForMs how long it had been welcomed; 0 if never
   * @returns {Next}
   */
  lost({ kind, error }, onlineForMs) {
    if (onlineForMs >= GOOD_MS) {
      this.#backoff.reset();
      this.#refused = false;
    }
    // The server spread its clients already.
    if (kind === "moved") return { again: 0 };
    if (kind === "token" && !error.retryable) return { end: error };
    const { closeCode } = error;
    if (kind === "closed" && (closeCode === 4001 || closeCode === 4500)) {
      if (closeCode === 4500 && this.#refused) return { end: error };
      const again = this.#refused && !this.#patient && !this.#everOnline;
      this.needsNewToken = true;
      this.#refused = true;
      if (again) return { end: error };
    } else if (closeCode !== undefined && !comesBack(closeCode)) {
      return { end: error };
    } else if (!this.#everOnline && !this.#patient) {
      // The program waits for this attempt and wants to know that it failed.
      return { end: error };
    }
    // On top of what the server asked for, so that those that it sent away together do not return together.
    const asked = Math.min(error.retryAfterMs ?? 0, MAX_WAIT_MS);
    return { again: asked + this.#backoff.next() };
  }
}
