/**
 * Time as this package needs it. Tests bring their own.
 * @typedef {object} Clock
 * @property {() => number} now milliseconds since the epoch, going on while the machine sleeps
 * @property {(at: number, call: () => void, options?: { hold?: boolean }) => () => void} alarm calls once when `now()`
 *   has reached `at`; returns what cancels it. With `hold`, a Node process does not end before it.
 * @property {(call: () => void) => void} defer calls when whatever has already arrived was handled
 */

/**
 * A timer stands still while the machine sleeps, so a long one is cut into pieces and the clock on the wall decides.
 * A machine that wakes is at most this late; a page learns of it sooner (see `wake.js`).
 */
const PIECE_MS = 15_000;

/** How far the clock on the wall is ahead of the one that never goes back. */
let ahead = Date.now() - performance.now();

/**
 * The time on the wall, as long as it goes forward: a clock that is set back would hold every alarm up. The clock that
 * never goes back stands still in some browsers while the machine sleeps.
 */
function now() {
  ahead = Math.max(ahead, Date.now() - performance.now());
  return performance.now() + ahead;
}

/** @type {Clock} */
export const systemClock = {
  now,
  alarm(at, call, { hold = false } = {}) {
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const look = () => {
      const left = at - now();
      if (left <= 0) return call();
      timer = setTimeout(look, Math.min(left, PIECE_MS));
      // Only Node has it: there, waiting for a renewal is no reason to go on living.
      if (!hold && typeof timer === "object") /** @type {any} */ (timer).unref?.();
    };
    timer = setTimeout(look, Math.max(0, Math.min(at - now(), PIECE_MS)));
    if (!hold && typeof timer === "object") /** @type {any} */ (timer).unref?.();
    return () => clearTimeout(timer);
  },
  defer: deferrer(),
};

/**
 * Neither is slowed down in a page that is in the background, as `setTimeout` is.
 * @returns {(call: () => void) => void}
 */
function deferrer() {
  const immediate = /** @type {any} */ (globalThis).setImmediate;
  if (typeof immediate === "function") return (call) => void immediate(call);
  /** @type {(() => void)[]} */
  const calls = [];
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => calls.shift()?.();
  return (call) => {
    calls.push(call);
    port2.postMessage(null);
  };
}
