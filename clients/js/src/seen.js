/** Sending sessions that are remembered; the one not heard for longest is forgotten first. */
const SENDERS = 64;

/**
 * Numbers that are remembered of each. A message is settled after 30 s, in which a device at its default rate makes
 * at most 1,700 numbers, so what lies further below the highest one can only be a repetition.
 */
const WINDOW = 2048;

/**
 * A bounded memory of `mid`s (`session:number`). A high-water mark would not do: candidates are held until the
 * offer they belong to, so numbers of one sender arrive out of order by design.
 */
export class Seen {
  /** Insertion order is the order in which they were last heard. @type {Map<string, { top: number, numbers: Set<number> }>} */
  #senders = new Map();

  /**
   * Whether `mid` is new; it is not, the next time.
   * @param {string} mid
   */
  insert(mid) {
    const colon = mid.lastIndexOf(":");
    const session = mid.slice(0, colon);
    const number = Number(mid.slice(colon + 1));
    const sender = this.#senders.get(session) ?? { top: number, numbers: new Set() };
    this.#senders.delete(session);
    this.#senders.set(session, sender);
    if (this.#senders.size > SENDERS) {
      const [oldest] = this.#senders.keys();
      this.#senders.delete(oldest);
    }
    if (sender.numbers.has(number) || number <= sender.top - WINDOW) return false;
    sender.numbers.add(number);
    sender.top = Math.max(sender.top, number);
    // Twice the window before anything is swept, so that a frame costs no sweep on average.
    if (sender.numbers.size > 2 * WINDOW) {
      for (const old of sender.numbers) {
        if (old <= sender.top - WINDOW) sender.numbers.delete(old);
      }
    }
    return true;
  }

  /** How much is remembered, for tests. */
  get size() {
    let size = 0;
    for (const sender of this.#senders.values()) size += sender.numbers.size;
    return size;
  }
}
