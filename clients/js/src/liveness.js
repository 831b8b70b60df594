// Whether the other side is still there: a decision without I/O. A browser does not show the server's pings to a
// page, so a silent connection is asked with a `ping` of ours before it is given up.

/** What a server may call a heartbeat. */
const HEARTBEAT_MS = { least: 20, most: 600_000 };

/** How long an answer may take when there is a reason to doubt: the machine woke, the network changed. */
const DOUBT_MS = 4_000;

/** A timer that rings this much too late says that the machine or the page stood still. */
const STOOD_STILL_MS = 5_000;

export class Liveness {
  #heard;
  #heartbeat;
  /** When the answer to our `ping` must be there. @type {number | undefined} */
  #answerBy;
  /** A look at the answer that came too late has been had. */
  #lookedLate = false;
  #greeting = true;

  /**
   * @param {number} now
   * @param {number} welcomeMs how long the connection and its `welcome` may take
   */
  constructor(now, welcomeMs) {
    this.#heard = now;
    this.#heartbeat = welcomeMs;
  }

  /** @param {number} now @param {number} heartbeatMs */
  welcome(now, heartbeatMs) {
    this.#greeting = false;
    this.#heartbeat = Math.min(Math.max(heartbeatMs, HEARTBEAT_MS.least), HEARTBEAT_MS.most);
    this.heard(now);
  }

  /** Something arrived. @param {number} now */
  heard(now) {
    this.#heard = now;
    this.#answerBy = undefined;
    this.#lookedLate = false;
  }

  /** When to `look` again. */
  get deadline() {
    return this.#answerBy ?? this.#heard + this.#heartbeat;
  }

  /**
   * Time has passed.
   * @param {number} now
   * @returns {"alive" | "ping" | "dead"}
   */
  look(now) {
    const late = now - this.deadline;
    if (late < 0) return "alive";
    if (this.#greeting) return "dead";
    if (this.#answerBy !== undefined) {
      // Timers of a page that is hidden ring once a minute, and every look is late.
      if (late < STOOD_STILL_MS || this.#lookedLate) return "dead";
      this.#lookedLate = true;
    }
    // Nobody read while everything stood still: the answer may wait to be read, or the ping was never sent.
    this.#answerBy = now + (late < STOOD_STILL_MS ? this.#heartbeat : Math.min(DOUBT_MS, this.#heartbeat));
    return "ping";
  }

  /**
   * There is a reason to doubt.
   * @param {number} now
   * @returns {"alive" | "ping"}
   */
  doubt(now) {
    if (this.#greeting) return "alive";
    const by = now + Math.min(DOUBT_MS, this.#heartbeat);
    // A question that waits for its answer is not put off by another one.
    if (this.#answerBy !== undefined && this.#answerBy <= by && this.#answerBy > now) return "alive";
    this.#answerBy = by;
    return "ping";
  }
}
