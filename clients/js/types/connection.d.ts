/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {import("./roster.js").KnownDevice} KnownDevice */
/** @typedef {import("./link.js").ConnectionState} ConnectionState */
/** @typedef {import("./call/call.js").Call} Call */
/**
 * @typedef {object} ConnectionEvents
 * @property {ConnectionState} state
 * @property {KnownDevice[]} devices the list, after each change
 * @property {KnownDevice} online another device came
 * @property {KnownDevice} offline another device went
 * @property {KnownDevice} updated a device was renamed, or registered
 * @property {KnownDevice} removed a device was removed from the account
 * @property {Call} incoming a device rings
 * @property {Call} ongoing a call of this device that a former run of the program left: go on with `accept`, or `end` it
 * @property {import("./wire.js").IceServer[]} iceservers renewed credentials
 * @property {Frame} message what belongs to no call: signaling without a stream, errors about frames without an id,
 *   and types that this version does not know
 */
/**
 * This device, online: it knows the others, rings them and is rung.
 * @extends {Emitter<ConnectionEvents>}
 */
export class Connection extends Emitter<ConnectionEvents> {
    /**
     * @param {object} parts
     * @param {import("./streamz.js").ThisDevice} parts.device
     * @param {import("./http.js").Http} parts.http
     * @param {import("./tokens.js").Tokens} parts.tokens
     * @param {import("./clock.js").Clock} parts.clock
     * @param {() => number} parts.random
     * @param {boolean} parts.patient
     * @param {any} parts.WebSocket
     * @param {any} [parts.RTCPeerConnection]
     * @param {any} [parts.MediaStream]
     */
    constructor(parts: {
        device: import("./streamz.js").ThisDevice;
        http: import("./http.js").Http;
        tokens: import("./tokens.js").Tokens;
        clock: import("./clock.js").Clock;
        random: () => number;
        patient: boolean;
        WebSocket: any;
        RTCPeerConnection?: any;
        MediaStream?: any;
    });
    /** This device's id. */
    deviceId: string;
    /**
     * Settles once the connection is over for good, with the reason unless this program closed it.
     * @type {Promise<StreamzError | undefined>}
     */
    closed: Promise<StreamzError | undefined>;
    /** Where the connection stands. */
    get state(): import("./link.js").ConnectionState;
    /** The account's devices, this one included. */
    get devices(): import("./roster.js").KnownDevice[];
    /** STUN and TURN servers with credentials that are good now. */
    get iceServers(): import("./wire.js").IceServer[];
    /** The calls that ring or go on. */
    get calls(): import("./call/call.js").Call[];
    /** What was counted since the start, for whoever wonders what goes on. */
    get counters(): {
        backlog: number;
        received: number;
        sent: number;
        sentAgain: number;
        acks: number;
        repeatedSeq: number;
        repeatedMid: number;
        strayOutcomes: number;
    };
    /**
     * Rings a device, or all others with `to` null, and streams `media` to whoever answers first. Returns at once: see
     * `Call` for how it goes on.
     * @param {string | null} to
     * @param {MediaStream | null} [media]
     * @param {import("./call/calls.js").StreamOptions} [options]
     * @returns {Call}
     */
    stream(to: string | null, media?: MediaStream | null, options?: import("./call/calls.js").StreamOptions): Call;
    /**
     * Sends a message of the protocol. Resolves once it is delivered; rejects with a `StreamzError` that says why not:
     * exactly one of the two, whatever fails meanwhile.
     * @param {import("./wire.js").Message} message
     * @returns {Promise<void>}
     */
    send(message: import("./wire.js").Message): Promise<void>;
    /**
     * Sends a message at most once, and never learns what became of it.
     * @param {import("./wire.js").Message} message
     * @throws {StreamzError} `away` without a connection
     */
    sendUnconfirmed(message: import("./wire.js").Message): void;
    /** Ends the calls, says goodbye, and does not come back. */
    close(): Promise<void>;
    /**
     * Connects for the first time; `Streamz.connect` does it.
     * @param {AbortSignal} [signal]
     * @returns {Promise<void>}
     */
    open(signal?: AbortSignal): Promise<void>;
    #private;
}
export type Frame = import("./wire.js").Frame;
export type KnownDevice = import("./roster.js").KnownDevice;
export type ConnectionState = import("./link.js").ConnectionState;
export type Call = import("./call/call.js").Call;
export type ConnectionEvents = {
    state: ConnectionState;
    /**
     * the list, after each change
     */
    devices: KnownDevice[];
    /**
     * another device came
     */
    online: KnownDevice;
    /**
     * another device went
     */
    offline: KnownDevice;
    /**
     * a device was renamed, or registered
     */
    updated: KnownDevice;
    /**
     * a device was removed from the account
     */
    removed: KnownDevice;
    /**
     * a device rings
     */
    incoming: Call;
    /**
     * a call of this device that a former run of the program left: go on with `accept`, or `end` it
     */
    ongoing: Call;
    /**
     * renewed credentials
     */
    iceservers: import("./wire.js").IceServer[];
    /**
     * what belongs to no call: signaling without a stream, errors about frames without an id,
     * and types that this version does not know
     */
    message: Frame;
};
import { Emitter } from "./emitter.js";
import { StreamzError } from "./errors.js";
