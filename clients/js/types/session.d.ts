/** Sequenced frames after which an `ack` is due even if more can be read at once. */
export const ACK_EVERY: 16;
/**
 * @template W whatever waits for an outcome
 * @typedef {object} Entry
 * @property {string} text
 * @property {number} bytes
 * @property {string} [id] with it, the entry stays until its outcome; without, until it is sent
 * @property {W} [waiter]
 * @property {number} since when it was given
 * @property {boolean} sent at least once in the present session
 * @property {boolean} everSent
 */
/**
 * @template W
 * @typedef {{ waiter: W, id: string, error?: StreamzError }} Settled
 */
/**
 * What a frame means.
 * @template W
 * @typedef {{ event?: import("./wire.js").Frame, settled: Settled<W>[] }} Heard
 */
/** @template W */
export class Session<W> {
    /** @param {{ [Name in keyof typeof LIMITS]?: number }} [limits] */
    constructor(limits?: { [Name in keyof typeof LIMITS]?: number; });
    limits: {
        frameBytes: number;
        unsettledMessages: number;
        unsettledBytes: number;
        messageLifeMs: number;
    };
    /** For whoever wonders what goes on. */
    counters: {
        received: number;
        sent: number;
        sentAgain: number;
        acks: number;
        repeatedSeq: number;
        repeatedMid: number;
        strayOutcomes: number;
    };
    /** What the next connection asks to go on with. */
    get resumePoint(): {
        sessionId: string;
        lastSeq: number;
    } | undefined;
    /** Messages that wait for their outcome or for the socket. */
    get backlog(): number;
    /** A connection was made; its first frame must be `welcome`. */
    dial(): void;
    /** The connection is gone. What has an `id` waits for the next one; what has none was sent or is lost. */
    hangUp(): void;
    /**
     * The client is over: gives back who waits in vain.
     * @returns {W[]}
     */
    giveUp(): W[];
    /**
     * Takes a message that will have an outcome. It is sent once connected, and after every reconnect until its
     * outcome is there.
     * @param {import("./wire.js").Message} message
     * @param {W} waiter
     * @param {number} now
     * @returns {string} its `id`
     * @throws {StreamzError} `backlog`, `too_large`
     */
    submit({ type, payload }: import("./wire.js").Message, waiter: W, now: number): string;
    /**
     * Takes a message without an `id`: it is sent at most once, on this connection or never.
     * @param {import("./wire.js").Message} message
     * @param {number} now
     * @throws {StreamzError} `away`, `backlog`, `too_large`
     */
    submitUnconfirmed({ type, payload }: import("./wire.js").Message, now: number): void;
    /** Sends a `ping` if there is a connection. */
    ping(): void;
    /**
     * Sends a new access token if there is a connection; the next one begins with its own.
     * @param {string} token
     */
    authenticate(token: string): void;
    /**
     * The next frame for the socket. Acknowledgements go first: other devices wait for them.
     * @returns {string | undefined}
     */
    nextFrame(): string | undefined;
    /**
     * Takes a frame from the server.
     * @param {unknown} text
     * @param {number} now
     * @returns {Heard<W>}
     * @throws {StreamzError} `protocol`: the connection is of no use any more
     */
    receive(text: unknown, now: number): Heard<W>;
    /** The program has all that was received. */
    taken(): void;
    /** Nothing more can be read at once: what is unconfirmed is confirmed now, unless it is outcomes alone. */
    idle(): void;
    /** A heartbeat has passed: what is still unconfirmed goes with the next `idle`, so that the server may forget it. */
    heartbeat(): void;
    /**
     * Settles what has waited too long for a connection. While there is one, the server settles everything in time.
     * @param {number} now
     * @returns {Settled<W>[]}
     */
    expire(now: number): Settled<W>[];
    /** When `expire` has something to do, if it ever does. @returns {number | undefined} */
    get expiresAt(): number | undefined;
    #private;
}
export type Entry<W> = {
    text: string;
    bytes: number;
    /**
     * with it, the entry stays until its outcome; without, until it is sent
     */
    id?: string | undefined;
    waiter?: W | undefined;
    /**
     * when it was given
     */
    since: number;
    /**
     * at least once in the present session
     */
    sent: boolean;
    everSent: boolean;
};
export type Settled<W> = {
    waiter: W;
    id: string;
    error?: StreamzError;
};
/**
 * What a frame means.
 */
export type Heard<W> = {
    event?: import("./wire.js").Frame;
    settled: Settled<W>[];
};
import { LIMITS } from "./wire.js";
import { StreamzError } from "./errors.js";
