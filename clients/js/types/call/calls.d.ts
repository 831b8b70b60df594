/** The calls of one device: which frame belongs to which, and which ones the server still knows. */
export class Calls {
    /** @param {CallsParts} parts */
    constructor(parts: CallsParts);
    /** @returns {Call[]} */
    get all(): Call[];
    /**
     * @param {string | null} to
     * @param {MediaStream | null} media
     * @param {StreamOptions} options
     */
    start(to: string | null, media: MediaStream | null, options: StreamOptions): Call;
    /**
     * @param {Frame} frame
     * @returns {boolean} whether it was about a call
     */
    handle(frame: Frame): boolean;
    /**
     * With a new session, what the server lists is what there is.
     * @param {import("../wire.js").Welcome} welcome
     */
    welcome({ resumed, streams }: import("../wire.js").Welcome): void;
    networkChanged(): void;
    /** @param {boolean} lapse whether the old ones are about to lapse */
    renewIceServers(lapse: boolean): void;
    endAll(): void;
    /** @param {StreamzError} [error] */
    connectionClosed(error?: StreamzError): void;
    #private;
}
export type StreamType = import("../wire.js").StreamType;
export type Frame = import("../wire.js").Frame;
export type StreamOptions = {
    /**
     * by default what the media's tracks say; `video` for a pull, `data` without media
     */
    type?: import("../wire.js").StreamType | undefined;
    /**
     * ask the other device for its media instead of sending ours
     */
    pull?: boolean | undefined;
    /**
     * beside the ICE servers, such as `{ iceTransportPolicy: "relay" }`
     */
    configuration?: RTCConfiguration | undefined;
    /**
     * how often the path is measured
     */
    statsMs?: number | undefined;
};
export type CallsParts = {
    deviceId: string;
    clock: import("../clock.js").Clock;
    random: () => number;
    RTCPeerConnection: any;
    MediaStream: any;
    submit: (message: import("../wire.js").Message) => {
        id: string;
        outcome: Promise<void>;
    };
    iceServers: () => import("../wire.js").IceServer[];
    device: (id: string) => import("../roster.js").KnownDevice | undefined;
    incoming: (call: Call) => void;
    ongoing: (call: Call) => void;
};
import { Call } from "./call.js";
import { StreamzError } from "../errors.js";
