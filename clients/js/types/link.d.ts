/**
 * The one place where socket, clock and tokens meet the rules of the session: keeps one WebSocket up.
 */
export class Link {
    /**
     * @param {object} parts
     * @param {import("./streamz.js").ThisDevice} parts.device
     * @param {import("./http.js").Http} parts.http
     * @param {Pick<import("./tokens.js").Tokens, "token">} parts.tokens
     * @param {import("./clock.js").Clock} parts.clock
     * @param {() => number} parts.random
     * @param {boolean} parts.patient
     * @param {any} parts.WebSocket
     * @param {(state: ConnectionState) => void} parts.changed
     * @param {(frame: Frame) => void} parts.heard
     */
    constructor(parts: {
        device: import("./streamz.js").ThisDevice;
        http: import("./http.js").Http;
        tokens: Pick<import("./tokens.js").Tokens, "token">;
        clock: import("./clock.js").Clock;
        random: () => number;
        patient: boolean;
        WebSocket: any;
        changed: (state: ConnectionState) => void;
        heard: (frame: Frame) => void;
    });
    get state(): ConnectionState;
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
    /** Takes a message that will have an outcome. @param {import("./wire.js").Message} message */
    submit(message: import("./wire.js").Message): {
        id: string;
        outcome: Promise<void>;
    };
    /** @param {import("./wire.js").Message} message */
    submitUnconfirmed(message: import("./wire.js").Message): void;
    /** Connects, now. */
    dial(): Promise<void>;
    /** Over for good. @param {StreamzError} [error] */
    end(error?: StreamzError): void;
    /** The machine woke or the network changed: what was thought about the connection may be wrong. */
    wake(): void;
    /** A newer access token, for this connection or the next. @param {string} token */
    authenticate(token: string): void;
    /** Writes what there is to write. */
    flush(): void;
    #private;
}
export type Frame = import("./wire.js").Frame;
export type Waiter = {
    resolve: () => void;
    reject: (error: StreamzError) => void;
};
/**
 * Where the connection stands. `away` comes back by itself, at `retryAt`; `closed` does not, and `error` says why
 * unless this program closed it.
 */
export type ConnectionState = {
    name: "connecting" | "online" | "away" | "closed";
    /**
     * online: whether nothing was lost since the last time
     */
    resumed?: boolean | undefined;
    error?: StreamzError | undefined;
    /**
     * milliseconds since the epoch
     */
    retryAt?: number | undefined;
};
import { StreamzError } from "./errors.js";
