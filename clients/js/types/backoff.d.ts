/**
 * Exponential back-off with full jitter: each wait is drawn evenly from zero to a ceiling that doubles, so that
 * clients that were lost together do not come back together.
 */
export class Backoff {
    /**
     * @param {object} [options]
     * @param {number} [options.baseMs] the first ceiling
     * @param {number} [options.capMs] the last ceiling
     * @param {() => number} [options.random] evenly from [0, 1)
     */
    constructor({ baseMs, capMs, random }?: {
        baseMs?: number | undefined;
        capMs?: number | undefined;
        random?: (() => number) | undefined;
    });
    baseMs: number;
    capMs: number;
    random: () => number;
    /** The wait before the next attempt, in milliseconds. */
    next(): number;
    /** The last connection was good: the next failure is a first one. */
    reset(): void;
    #private;
}
