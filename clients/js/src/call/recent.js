/**
 * What was lately, for a while: at most so many, the newest.
 * @template T
 */
export class Recent {
  #clock;
  #lifeMs;
  #most;
  /** @type {{ value: T, until: number }[]} */
  #entries = [];

  /** @param {import("../clock.js").Clock} clock @param {{ lifeMs: number, most: number }} bounds */
  constructor(clock, { lifeMs, most }) {
    this.#clock = clock;
    this.#lifeMs = lifeMs;
    this.#most = most;
  }

  /** @param {T} value */
  add(value) {
    this.#entries = [...this.#live(), { value, until: this.#clock.now() + this.#lifeMs }].slice(-this.#most);
  }

  /** The first that is wanted; it is forgotten with that. @param {(value: T) => boolean} wanted @returns {T | undefined} */
  take(wanted) {
    const found = this.#live().find(({ value }) => wanted(value));
    this.#entries = this.#live().filter((entry) => entry !== found);
    return found?.value;
  }

  #live() {
    return this.#entries.filter(({ until }) => until > this.#clock.now());
  }
}
