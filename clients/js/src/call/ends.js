import { StreamzError } from "../errors.js";

/** How long to wait before the server is told again. */
const AGAIN_MS = 2_000;

/** How often it is told. */
const TRIES = 30;

/**
 * Ends of streams that the server may not have heard of yet. The other side waits for them, however long this one is
 * away.
 */
export class Ends {
  #parts;
  /** @type {Set<string>} */
  #streams = new Set();

  /** @param {Pick<import("./calls.js").CallsParts, "submit" | "clock">} parts */
  constructor(parts) {
    this.#parts = parts;
  }

  /** @param {string} stream */
  has(stream) {
    return this.#streams.has(stream);
  }

  /** @param {import("../wire.js").Message} message */
  async send(message) {
    const { submit, clock } = this.#parts;
    const stream = String(message.payload?.stream_id);
    this.#streams.add(stream);
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          return await submit(message).outcome;
        } catch (error) {
          if (!(error instanceof StreamzError) || !error.retryable || tries === TRIES) throw error;
          await new Promise((resolve) => clock.alarm(clock.now() + AGAIN_MS, () => resolve(undefined)));
        }
      }
    } finally {
      this.#streams.delete(stream);
    }
  }
}
