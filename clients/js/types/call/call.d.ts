/** @typedef {import("../wire.js").StreamType} StreamType */
/** @typedef {import("./stats.js").CallStats} CallStats */
/** @typedef {import("./types.js").MediaState} MediaState */
/** @typedef {import("./types.js").CallEvents} CallEvents */
/** @typedef {import("./types.js").CallParts} CallParts */
/** @template T @typedef {ReturnType<typeof deferred<T>>} Deferred */
/** The longest reason of an end, in characters. */
export const REASON_MAX: 32;
/**
 * One stream between this device and another: rings, goes on, ends.
 * @extends {Emitter<CallEvents>}
 */
export class Call extends Emitter<import("./types.js").CallEvents> {
    /** @param {CallParts} parts */
    constructor(parts: CallParts);
    /** The stream's id; null until the server has given one. */
    id: string | null;
    direction: "outgoing" | "incoming";
    /** The other device; null while all are rung. */
    peerId: string | null;
    type: import("../wire.js").StreamType;
    /** Who is to send the media. */
    sourceId: string;
    /** Whether a former run of this program began it: `accept` goes on with it. */
    ongoing: boolean;
    /** What the other side sends, for one element: its first picture and its first sound. */
    remoteStream: MediaStream;
    /** The last reading. @type {CallStats | null} */
    stats: CallStats | null;
    /** Why it ended. @type {string | null} */
    endReason: string | null;
    /** Lasts on without the server's knowledge, until it is announced anew. */
    orphaned: boolean;
    /** Where it stands. */
    get state(): "ringing" | "active" | "ended";
    /** How the media flows. */
    get media(): import("./types.js").MediaState;
    /** The other device as it is known, if it is. */
    get peer(): import("../roster.js").KnownDevice | undefined;
    /** All that the other side sends, in the order in which it came: a screen beside the camera, too. */
    get remoteTracks(): MediaStreamTrack[];
    /** The device that answered. Rejects with the reason if nobody did: `busy`, `declined`, `timeout`, `offline`, … */
    get accepted(): Promise<string>;
    /** The other side's media, once it flows. Rejects if the call ends before. */
    get ready(): Promise<MediaStream>;
    /** The reason, once the call is over. Never rejects. */
    get ended(): Promise<string>;
    /** Of a data stream: its channel, once open. Rejects if the call ends before. */
    get channel(): Promise<RTCDataChannel>;
    /** What does the work, for what is not wrapped here. A new one takes its place if the other side begins anew. */
    get peerConnection(): RTCPeerConnection | undefined;
    /**
     * Takes the ring, or goes on with an ongoing call. Resolves with the other side's media once it flows; rejects if
     * another device was quicker (`answered_elsewhere`) or the call is over.
     * @param {MediaStream | null} [media] what this side sends
     * @param {Pick<import("./calls.js").StreamOptions, "configuration" | "statsMs">} [options] as for `stream`
     * @returns {Promise<MediaStream>}
     */
    accept(media?: MediaStream | null, options?: Pick<import("./calls.js").StreamOptions, "configuration" | "statsMs">): Promise<MediaStream>;
    /** Refuses the ring. @param {string} [reason] your own word for the other side, at most 32 characters */
    decline(reason?: string): void;
    /** Ends the call, or gives up the ring. @param {string} [reason] your own word for the other side */
    end(reason?: string): void;
    /** Sends one more track: a screen, a second camera. @param {MediaStreamTrack} track @param {MediaStream[]} streams */
    addTrack(track: MediaStreamTrack, ...streams: MediaStream[]): void;
    /** Sends a track no more. @param {MediaStreamTrack} track */
    removeTrack(track: MediaStreamTrack): void;
    /**
     * Sends another track in a track's place, such as another camera, without negotiation.
     * @param {MediaStreamTrack} track
     * @param {MediaStreamTrack} by
     */
    replaceTrack(track: MediaStreamTrack, by: MediaStreamTrack): Promise<void>;
    /**
     * Sends silence or black, or the real thing again: all tracks of this kind, those that come later, too. It is the
     * track that is muted, in all calls that send it.
     * @param {"audio" | "video"} kind
     * @param {boolean} muted
     */
    mute(kind: "audio" | "video", muted?: boolean): void;
    /** Opens a data channel; the other side hears of it as `channel`. @param {string} label @param {RTCDataChannelInit} [options] */
    openChannel(label: string, options?: RTCDataChannelInit): RTCDataChannel;
    /** Looks for a new path now. It is done without being asked when the path breaks or the network changes. */
    restartIce(): void;
    /** Somebody has answered. @param {string} by @internal */
    activate(by: string): void;
    /** A description or candidate came. @param {import("../wire.js").Frame} frame @internal */
    signal({ type, payload }: import("../wire.js").Frame): void;
    /** It is over, whoever ended it. @param {string} reason @param {StreamzError} [cause] @internal */
    over(reason: string, cause?: StreamzError): void;
    /** @internal */
    networkChanged(): void;
    /** @param {boolean} lapse whether the old ones are about to lapse @internal */
    renewIceServers(lapse: boolean): void;
    /** One of several that rang said no. @param {string} by @internal */
    declinedBy(by: string): void;
    #private;
}
export type StreamType = import("../wire.js").StreamType;
export type CallStats = import("./stats.js").CallStats;
export type MediaState = import("./types.js").MediaState;
export type CallEvents = import("./types.js").CallEvents;
export type CallParts = import("./types.js").CallParts;
export type Deferred<T> = ReturnType<typeof deferred<T>>;
import { Emitter } from "../emitter.js";
import { StreamzError } from "../errors.js";
import { deferred } from "../deferred.js";
