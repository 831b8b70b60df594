/**
 * `interrupted` is mended by itself.
 */
export type MediaState = "none" | "connecting" | "connected" | "interrupted";
export type CallEvents = {
    state: "ringing" | "active" | "ended";
    media: MediaState;
    /**
     * one more track of the other side
     */
    track: {
        track: MediaStreamTrack;
        streams: readonly MediaStream[];
    };
    /**
     * opened by the other side, or the one that a data stream begins with
     */
    channel: RTCDataChannel;
    /**
     * a device that rang said no; others may still ring
     */
    declined: string;
    /**
     * every few seconds
     */
    stats: import("./stats.js").CallStats;
    /**
     * with the reason
     */
    ended: string;
};
export type CallParts = {
    shared: import("./calls.js").CallsParts;
    /**
     * who began it
     */
    direction: "outgoing" | "incoming";
    peerId: string | null;
    type: import("../wire.js").StreamType;
    sourceId: string;
    id: string | null;
    media: MediaStream | null;
    options?: import("./calls.js").StreamOptions | undefined;
    /**
     * left by a former run of the program
     */
    ongoing?: boolean | undefined;
    send: (message: import("../wire.js").Message) => Promise<void>;
    over: (call: import("./call.js").Call) => void;
};
