/** @param {unknown} RTCPeerConnection @throws {StreamzError} `unsupported` */
export function mustHaveWebRTC(RTCPeerConnection: unknown): void;
/**
 * @typedef {object} PeerParts
 * @property {any} RTCPeerConnection
 * @property {import("../wire.js").IceServer[]} iceServers
 * @property {RTCConfiguration} [configuration]
 * @property {boolean} polite
 * @property {boolean} begins whether the first offer is ours
 * @property {import("../wire.js").StreamType} type
 * @property {boolean} wants whether the other side is to send the stream's media
 * @property {Map<MediaStreamTrack, MediaStream[]>} tracks what we send
 * @property {import("../clock.js").Clock} clock
 * @property {() => number} random
 * @property {(type: "sdp_offer" | "sdp_answer" | "ice_candidate", payload: Record<string, unknown>) => Promise<void>} send
 * @property {(state: RTCPeerConnectionState) => void} changed
 * @property {(event: RTCTrackEvent) => void} track
 * @property {(channel: RTCDataChannel) => void} channel
 * @property {(error: unknown) => void} failed
 */
/** One peer connection of a call, kept alive: its path is renewed when it breaks. */
export class Peer {
    /** @param {PeerParts} parts */
    constructor(parts: PeerParts);
    /** @type {RTCPeerConnection} */
    pc: RTCPeerConnection;
    /** @param {string} sdp */
    isReborn(sdp: string): boolean;
    /** @param {"offer" | "answer"} type @param {string} sdp */
    description(type: "offer" | "answer", sdp: string): void;
    /** @param {any} payload */
    candidate(payload: any): void;
    /** @param {MediaStreamTrack} track @param {MediaStream[]} streams */
    add(track: MediaStreamTrack, streams: MediaStream[]): void;
    /** @param {MediaStreamTrack} track */
    remove(track: MediaStreamTrack): void;
    /** @param {MediaStreamTrack} track @param {MediaStreamTrack} by */
    replace(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void>;
    /** Looks for a new path. */
    restart(): void;
    /** @param {import("../wire.js").IceServer[]} iceServers @param {boolean} relayed whether the path is through one of them */
    renew(iceServers: import("../wire.js").IceServer[], relayed: boolean): void;
    /**
     * Reads the statistics now and every so often, until it is closed.
     * @param {number} everyMs
     * @param {(stats: import("./stats.js").CallStats) => void} tell
     */
    measure(everyMs: number, tell: (stats: import("./stats.js").CallStats) => void): void;
    close(): void;
    #private;
}
export type PeerParts = {
    RTCPeerConnection: any;
    iceServers: import("../wire.js").IceServer[];
    configuration?: RTCConfiguration | undefined;
    polite: boolean;
    /**
     * whether the first offer is ours
     */
    begins: boolean;
    type: import("../wire.js").StreamType;
    /**
     * whether the other side is to send the stream's media
     */
    wants: boolean;
    /**
     * what we send
     */
    tracks: Map<MediaStreamTrack, MediaStream[]>;
    clock: import("../clock.js").Clock;
    random: () => number;
    send: (type: "sdp_offer" | "sdp_answer" | "ice_candidate", payload: Record<string, unknown>) => Promise<void>;
    changed: (state: RTCPeerConnectionState) => void;
    track: (event: RTCTrackEvent) => void;
    channel: (channel: RTCDataChannel) => void;
    failed: (error: unknown) => void;
};
