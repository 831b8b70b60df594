/**
 * Exponential back-off with full jitter: each wait is drawn evenly from zero to a ceiling that doubles, so that
 * clients that were lost together do not come back together.
 */
export class Backoff {
  #failures = 0;

  /**
   * @param {object} [options]
   * @param {number} [options.baseMs] the first ceiling
   * @param {number} [options.capMs] the last ceiling
   * @param {() => number} [options.random] evenly from [0, 1)
   */
  constructor({ baseMs = 500, capMs = 30_000, random = Math.random } = {}) {
    this.baseMs = baseMs;
    this.capMs = capMs;
    this.random = random;
  }

  /** The wait before the next attempt, in milliseconds. */
  next() {
    const ceiling = Math.min(this.capMs, this.baseMs * 2 ** this.#failures);
    // 2 ** 40 is past every cap; beyond it the numbers would only lose precision.
    this.#failures = Math.min(this.#failures + 1, 40);
    return this.random() * ceiling;
  }

  /** The last connection was good: the next failure is a first one. */
  reset() {
    this.#failures = 0;
  }
}
