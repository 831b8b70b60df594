/** The longest that a server can send a client away for. */
export const MAX_WAIT_MS: 300000;
/**
 * How a connection or an attempt ended: the error says what the server or the network said. `moved` is a change of
 * server on its request; `token` says that there was none to connect with.
 * @typedef {{ kind: "closed" | "lost" | "moved" | "token", error: import("./errors.js").StreamzError }} Lost
 */
/**
 * @typedef {{ again: number } | { end: import("./errors.js").StreamzError }} Next
 */
export class Retry {
    /**
     * @param {object} [options]
     * @param {boolean} [options.patient] whether the first attempt may fail and be repeated
     * @param {Backoff} [options.backoff]
     */
    constructor({ patient, backoff }?: {
        patient?: boolean | undefined;
        backoff?: Backoff | undefined;
    });
    /** Whether the next attempt needs another token than the last one. */
    needsNewToken: boolean;
    /** There is a token: until it is refused, it will do. */
    gotToken(): void;
    /** Welcomed. */
    online(): void;
    /**
     * @param {Lost} lost
     * @param {number} onlineForMs how long it had been welcomed; 0 if never
     * @returns {Next}
     */
    lost({ kind, error }: Lost, onlineForMs: number): Next;
    #private;
}
/**
 * How a connection or an attempt ended: the error says what the server or the network said. `moved` is a change of
 * server on its request; `token` says that there was none to connect with.
 */
export type Lost = {
    kind: "closed" | "lost" | "moved" | "token";
    error: import("./errors.js").StreamzError;
};
export type Next = {
    again: number;
} | {
    end: import("./errors.js").StreamzError;
};
import { Backoff } from "./backoff.js";
