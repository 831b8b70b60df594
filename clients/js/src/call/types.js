// What a call is made of and what it says.

/**
 * `interrupted` is mended by itself.
 * @typedef {"none" | "connecting" | "connected" | "interrupted"} MediaState
 */

/**
 * @typedef {object} CallEvents
 * @property {"ringing" | "active" | "ended"} state
 * @property {MediaState} media
 * @property {{ track: MediaStreamTrack, streams: readonly MediaStream[] }} track one more track of the other side
 * @property {RTCDataChannel} channel opened by the other side, or the one that a data stream begins with
 * @property {string} declined a device that rang said no; others may still ring
 * @property {import("./stats.js").CallStats} stats every few seconds
 * @property {string} ended with the reason
 */

/**
 * @typedef {object} CallParts
 * @property {import("./calls.js").CallsParts} shared
 * @property {"outgoing" | "incoming"} direction who began it
 * @property {string | null} peerId
 * @property {import("../wire.js").StreamType} type
 * @property {string} sourceId
 * @property {string | null} id
 * @property {MediaStream | null} media
 * @property {import("./calls.js").StreamOptions} [options]
 * @property {boolean} [ongoing] left by a former run of the program
 * @property {(message: import("../wire.js").Message) => Promise<void>} send
 * @property {(call: import("./call.js").Call) => void} over
 */

export {};
