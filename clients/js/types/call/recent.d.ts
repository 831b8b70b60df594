/**
 * What was lately, for a while: at most so many, the newest.
 * @template T
 */
export class Recent<T> {
    /** @param {import("../clock.js").Clock} clock @param {{ lifeMs: number, most: number }} bounds */
    constructor(clock: import("../clock.js").Clock, { lifeMs, most }: {
        lifeMs: number;
        most: number;
    });
    /** @param {T} value */
    add(value: T): void;
    /** The first that is wanted; it is forgotten with that. @param {(value: T) => boolean} wanted @returns {T | undefined} */
    take(wanted: (value: T) => boolean): T | undefined;
    #private;
}
