/**
 * Keeps a sign-in alive. A refresh token is good for one use, and its reuse ends the sign-in everywhere: so whoever
 * refreshes holds a lock, and looks first whether somebody else has just done it. Which token takes its place is chosen
 * beforehand and kept with it: a request whose answer was lost, or that two tabs make at once because their page has no
 * locks, is the same request, and has the same answer.
 * @extends {Emitter<TokenEvents>}
 */
export class Tokens extends Emitter<TokenEvents> {
    /**
     * @param {object} parts
     * @param {import("./http.js").Http} parts.http
     * @param {import("./storage.js").TokenStorage} parts.storage
     * @param {import("./clock.js").Clock} parts.clock
     * @param {() => number} [parts.random]
     * @param {LockManager} [parts.locks]
     */
    constructor({ http, storage, clock, random, locks }: {
        http: import("./http.js").Http;
        storage: import("./storage.js").TokenStorage;
        clock: import("./clock.js").Clock;
        random?: (() => number) | undefined;
        locks?: LockManager | undefined;
    });
    /** The sign-in, if there is one. */
    current(): Promise<import("./storage.js").SignIn | null>;
    /**
     * A sign-in has begun.
     * @param {import("./wire.js").TokenResponse} response
     */
    begin(response: import("./wire.js").TokenResponse): Promise<import("./storage.js").SignIn>;
    /**
     * An access token that is good for now.
     * @param {string} [refused] one that the server did not take: another is needed
     * @returns {Promise<string>}
     * @throws {StreamzError} `signed_out`, or why there can be none
     */
    token(refused?: string): Promise<string>;
    /**
     * New tokens, unless somebody else who shares the storage has just got them.
     * @param {SignIn} old
     * @returns {Promise<SignIn>}
     */
    refresh(old: SignIn): Promise<SignIn>;
    /** New tokens, whatever the old ones are good for. */
    renew(): Promise<import("./storage.js").SignIn>;
    /** The sign-in is over. @param {StreamzError} [error] */
    end(error?: StreamzError): Promise<void>;
    /** No renewals by itself any more. */
    stop(): void;
    /** The machine woke: what was to happen meanwhile happens now. */
    look(): Promise<void>;
    #private;
}
export type SignIn = import("./storage.js").SignIn;
export type TokenEvents = {
    /**
     * new tokens of the same sign-in
     */
    renewed: SignIn;
    /**
     * the sign-in is over: by a logout, or for the reason given
     */
    ended: StreamzError | undefined;
};
import { Emitter } from "./emitter.js";
import { StreamzError } from "./errors.js";
