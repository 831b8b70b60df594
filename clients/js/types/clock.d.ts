/** @type {Clock} */
export const systemClock: Clock;
/**
 * Time as this package needs it. Tests bring their own.
 */
export type Clock = {
    /**
     * milliseconds since the epoch, going on while the machine sleeps
     */
    now: () => number;
    /**
     * calls once when `now()`
     * has reached `at`; returns what cancels it. With `hold`, a Node process does not end before it.
     */
    alarm: (at: number, call: () => void, options?: {
        hold?: boolean;
    }) => () => void;
    /**
     * calls when whatever has already arrived was handled
     */
    defer: (call: () => void) => void;
};
