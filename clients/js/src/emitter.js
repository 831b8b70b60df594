/**
 * Typed events. Listeners are called in the order in which they were added; what one throws is reported like any
 * uncaught error and hurts neither the others nor the connection.
 * @template {Record<string, any>} Events
 */
export class Emitter {
  /** @type {Map<keyof Events, Set<(event: any) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` at each `name`. Returns a function that ends it.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(event: Events[Name]) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => this.off(name, listener);
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(event: Events[Name]) => void} listener
   */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /**
   * The next event of this name that `wanted` accepts.
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {(event: Events[Name]) => boolean} [wanted]
   * @returns {Promise<Events[Name]>}
   */
  once(name, wanted = () => true) {
    return new Promise((resolve) => {
      const off = this.on(name, (event) => {
        if (!wanted(event)) return;
        off();
        resolve(event);
      });
    });
  }

  /**
   * @template {keyof Events} Name
   * @param {Name} name
   * @param {Events[Name]} event
   * @protected
   */
  emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        report(error);
      }
    }
  }

  /**
   * @param {keyof Events} name
   * @protected
   */
  listens(name) {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }
}

/** @param {unknown} error */
export function report(error) {
  if (typeof globalThis.reportError === "function") {
    globalThis.reportError(error);
  } else {
    queueMicrotask(() => {
      throw error;
    });
  }
}
