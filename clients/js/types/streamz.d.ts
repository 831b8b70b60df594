/**
 * @typedef {object} StreamzOptions
 * @property {import("./storage.js").TokenStorage} [storage] where the sign-in is kept; by default in memory
 * @property {any} [WebSocket] the WebSocket class, where there is no global one
 * @property {any} [RTCPeerConnection] the same for WebRTC
 * @property {any} [MediaStream] the same for media streams
 * @property {typeof fetch} [fetch]
 * @property {LockManager} [locks] what makes tabs refresh in turn; by default `navigator.locks`
 * @property {import("./clock.js").Clock} [clock] for tests
 * @property {() => number} [random] for tests
 */
/**
 * Who registers.
 * @typedef {object} Registration
 * @property {string} email
 * @property {string} password 8 to 128 characters
 * @property {string} [firstName]
 * @property {string} [lastName]
 */
/**
 * This device, as it connects.
 * @typedef {object} ThisDevice
 * @property {string} id your own name for it: 1 to 255 characters, the same at every start
 * @property {string} [name] what people call it; used when it is registered
 * @property {string} [type] `phone`, `laptop`, `tv`, `camera`, …; used when it is registered
 * @property {number} [maxStreams] how many streams it takes at a time (1)
 */
/**
 * @typedef {object} StreamzEvents
 * @property {import("./wire.js").User} signedin
 * @property {StreamzError | undefined} signedout with the reason, unless it was `logout()`
 * @property {{ expiresAt: number }} renewed the tokens were refreshed; nothing needs to be done
 */
/**
 * A person's account on one server.
 * @extends {Emitter<StreamzEvents>}
 */
export class Streamz extends Emitter<StreamzEvents> {
    /**
     * @param {string | URL} url where the server is, such as `https://streamz.example.org`
     * @param {StreamzOptions} [options]
     */
    constructor(url: string | URL, options?: StreamzOptions);
    /** The account's devices. */
    devices: DeviceApi;
    /** What was streamed, newest first. */
    streams: StreamApi;
    /** @param {Registration} registration @returns {Promise<import("./wire.js").User>} */
    register({ email, password, firstName, lastName }: Registration): Promise<import("./wire.js").User>;
    /** @param {{ email: string, password: string }} credentials @returns {Promise<import("./wire.js").User>} */
    login({ email, password }: {
        email: string;
        password: string;
    }): Promise<import("./wire.js").User>;
    /** Who is signed in, as far as this device knows; null if nobody. @returns {Promise<import("./wire.js").User | null>} */
    user(): Promise<import("./wire.js").User | null>;
    /** Who is signed in, as the server says. @returns {Promise<import("./wire.js").User>} */
    me(): Promise<import("./wire.js").User>;
    /**
     * Ends the sign-in here and on the server; its connections close. It is over here even if the server cannot be
     * reached, and then the error says so.
     */
    logout(): Promise<void>;
    /**
     * Gives the account another password. Every other sign-in ends: its devices are closed with 4502. This one goes on.
     * @param {{ currentPassword: string, newPassword: string }} passwords the new one has 8 to 128 characters
     * @returns {Promise<void>}
     * @throws {StreamzError} `wrong_password`, `rate_limited`, `invalid_fields`
     */
    changePassword({ currentPassword, newPassword }: {
        currentPassword: string;
        newPassword: string;
    }): Promise<void>;
    /** The account's sign-ins, the one that was used last first. @returns {Promise<import("./wire.js").Session[]>} */
    sessions(): Promise<import("./wire.js").Session[]>;
    /**
     * Ends one of them: its devices are closed with 4502. To end this one, `logout()`.
     * @param {string} id
     * @returns {Promise<void>}
     * @throws {StreamzError} `session_not_found`
     */
    endSession(id: string): Promise<void>;
    /**
     * Deletes the account with everything that is in it, and ends the sign-in here. Nothing brings it back.
     * @param {string} password
     * @returns {Promise<void>}
     * @throws {StreamzError} `wrong_password`, `rate_limited`
     */
    deleteAccount(password: string): Promise<void>;
    /** An access token that is good for now, refreshed if need be. */
    accessToken(): Promise<string>;
    /** STUN and TURN servers with credentials that lapse. A connection keeps its own fresh: see `Connection.iceServers`. */
    iceServers(): Promise<import("./wire.js").IceServer[]>;
    /**
     * Brings this device online: resolves once the server welcomed it. After that the connection comes back by itself
     * until `close()`, or until its `state` says `closed`.
     * @param {ThisDevice} device
     * @param {{ patient?: boolean, signal?: AbortSignal }} [options] with `patient`, a server that cannot be reached is
     *   tried again instead of being an error
     * @returns {Promise<Connection>}
     */
    connect(device: ThisDevice, { patient, signal }?: {
        patient?: boolean;
        signal?: AbortSignal;
    }): Promise<Connection>;
    /** Closes all connections and ends the renewals; the sign-in stays valid. */
    close(): Promise<void>;
    #private;
}
export type StreamzOptions = {
    /**
     * where the sign-in is kept; by default in memory
     */
    storage?: import("./storage.js").TokenStorage | undefined;
    /**
     * the WebSocket class, where there is no global one
     */
    WebSocket?: any;
    /**
     * the same for WebRTC
     */
    RTCPeerConnection?: any;
    /**
     * the same for media streams
     */
    MediaStream?: any;
    fetch?: typeof fetch | undefined;
    /**
     * what makes tabs refresh in turn; by default `navigator.locks`
     */
    locks?: LockManager | undefined;
    /**
     * for tests
     */
    clock?: import("./clock.js").Clock | undefined;
    /**
     * for tests
     */
    random?: (() => number) | undefined;
};
/**
 * Who registers.
 */
export type Registration = {
    email: string;
    /**
     * 8 to 128 characters
     */
    password: string;
    firstName?: string | undefined;
    lastName?: string | undefined;
};
/**
 * This device, as it connects.
 */
export type ThisDevice = {
    /**
     * your own name for it: 1 to 255 characters, the same at every start
     */
    id: string;
    /**
     * what people call it; used when it is registered
     */
    name?: string | undefined;
    /**
     * `phone`, `laptop`, `tv`, `camera`, …; used when it is registered
     */
    type?: string | undefined;
    /**
     * how many streams it takes at a time (1)
     */
    maxStreams?: number | undefined;
};
export type StreamzEvents = {
    signedin: import("./wire.js").User;
    /**
     * with the reason, unless it was `logout()`
     */
    signedout: StreamzError | undefined;
    /**
     * the tokens were refreshed; nothing needs to be done
     */
    renewed: {
        expiresAt: number;
    };
};
import { Emitter } from "./emitter.js";
import { DeviceApi } from "./resources.js";
import { StreamApi } from "./resources.js";
import { Connection } from "./connection.js";
import { StreamzError } from "./errors.js";
