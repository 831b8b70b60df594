// The words of the protocol, as types. Objects that the server sends are handed on as they are, in its spelling.

/**
 * A device as the server describes it.
 * @typedef {object} Device
 * @property {string} id the row's key; everything else uses `device_id`
 * @property {string} user_id
 * @property {string} device_id the name that the client chose for it
 * @property {string} device_name what people call it
 * @property {string} device_type `phone`, `laptop`, `tv`, `camera`, …: free text
 * @property {boolean} is_online
 * @property {string | null} last_seen
 * @property {string} created_at
 */

/** @typedef {{ id: string, device_id: string, device_name: string }} DeviceRef */

/** @typedef {"video" | "audio" | "both" | "screen" | "data"} StreamType */

/**
 * A stream's record.
 * @typedef {object} StreamRecord
 * @property {string} id
 * @property {string} user_id
 * @property {string | null} source_device_id
 * @property {string | null} target_device_id
 * @property {StreamType} stream_type
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {string | null} [end_reason]
 * @property {"p2p" | "relay" | null} connection_type
 * @property {string | null} quality
 * @property {number | null} latency_ms
 * @property {DeviceRef | null} [source_device]
 * @property {DeviceRef | null} [target_device]
 */

/** @typedef {StreamRecord & { state: "ringing" | "active", from_device_id: string, to: string[] }} LiveStream */

/** @typedef {{ urls: string[], username?: string, credential?: string }} IceServer */

/**
 * @typedef {object} User
 * @property {string} id
 * @property {string} email
 * @property {string | null} first_name
 * @property {string | null} last_name
 * @property {string} created_at
 * @property {string} updated_at
 */

/**
 * A sign-in of the account.
 * @typedef {object} Session
 * @property {string} id
 * @property {string} created_at
 * @property {string} last_used_at when it was last refreshed
 * @property {string} expires_at when it ends by itself, unless it is refreshed
 * @property {string | null} user_agent what the client called itself
 * @property {boolean} current whether it is the one that asks
 */

/**
 * The answer to a sign-in or refresh.
 * @typedef {object} TokenResponse
 * @property {User} user
 * @property {string} access_token
 * @property {string} refresh_token
 * @property {string} token_type
 * @property {number} expires_in seconds
 */

/**
 * @typedef {object} Welcome
 * @property {string} session_id
 * @property {boolean} resumed
 * @property {number} heartbeat_interval_ms
 * @property {number} resume_window_ms
 * @property {Device} device
 * @property {Device[]} devices
 * @property {LiveStream[]} streams
 * @property {IceServer[]} ice_servers
 */

/**
 * One frame from the server. What `payload` holds depends on `type`.
 * @typedef {object} Frame
 * @property {string} type
 * @property {any} payload
 * @property {string} [id]
 * @property {number} [seq]
 * @property {string} [mid]
 */

/** Frames from a device @typedef {{ type: string, payload?: Record<string, unknown> }} Message */

/** The subprotocol of clients that acknowledge and resume. */
export const SUBPROTOCOL = "streamz.v1";

/** What precedes an access token among the subprotocols: a browser cannot set headers on a WebSocket. */
export const BEARER_PREFIX = "bearer.";

/** What a server with default limits takes. */
export const LIMITS = Object.freeze({
  frameBytes: 64 * 1024,
  unsettledMessages: 256,
  unsettledBytes: 512 * 1024,
  messageLifeMs: 30_000,
});
