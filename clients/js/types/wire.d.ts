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
export const SUBPROTOCOL: "streamz.v1";
/** What precedes an access token among the subprotocols: a browser cannot set headers on a WebSocket. */
export const BEARER_PREFIX: "bearer.";
/** What a server with default limits takes. */
export const LIMITS: Readonly<{
    frameBytes: number;
    unsettledMessages: 256;
    unsettledBytes: number;
    messageLifeMs: 30000;
}>;
/**
 * A device as the server describes it.
 */
export type Device = {
    /**
     * the row's key; everything else uses `device_id`
     */
    id: string;
    user_id: string;
    /**
     * the name that the client chose for it
     */
    device_id: string;
    /**
     * what people call it
     */
    device_name: string;
    /**
     * `phone`, `laptop`, `tv`, `camera`, …: free text
     */
    device_type: string;
    is_online: boolean;
    last_seen: string | null;
    created_at: string;
};
export type DeviceRef = {
    id: string;
    device_id: string;
    device_name: string;
};
export type StreamType = "video" | "audio" | "both" | "screen" | "data";
/**
 * A stream's record.
 */
export type StreamRecord = {
    id: string;
    user_id: string;
    source_device_id: string | null;
    target_device_id: string | null;
    stream_type: StreamType;
    started_at: string;
    ended_at: string | null;
    end_reason?: string | null | undefined;
    connection_type: "p2p" | "relay" | null;
    quality: string | null;
    latency_ms: number | null;
    source_device?: DeviceRef | null | undefined;
    target_device?: DeviceRef | null | undefined;
};
export type LiveStream = StreamRecord & {
    state: "ringing" | "active";
    from_device_id: string;
    to: string[];
};
export type IceServer = {
    urls: string[];
    username?: string;
    credential?: string;
};
export type User = {
    id: string;
    email: string;
    first_name: string | null;
    last_name: string | null;
    created_at: string;
    updated_at: string;
};
/**
 * A sign-in of the account.
 */
export type Session = {
    id: string;
    created_at: string;
    /**
     * when it was last refreshed
     */
    last_used_at: string;
    /**
     * when it ends by itself, unless it is refreshed
     */
    expires_at: string;
    /**
     * what the client called itself
     */
    user_agent: string | null;
    /**
     * whether it is the one that asks
     */
    current: boolean;
};
/**
 * The answer to a sign-in or refresh.
 */
export type TokenResponse = {
    user: User;
    access_token: string;
    refresh_token: string;
    token_type: string;
    /**
     * seconds
     */
    expires_in: number;
};
export type Welcome = {
    session_id: string;
    resumed: boolean;
    heartbeat_interval_ms: number;
    resume_window_ms: number;
    device: Device;
    devices: Device[];
    streams: LiveStream[];
    ice_servers: IceServer[];
};
/**
 * One frame from the server. What `payload` holds depends on `type`.
 */
export type Frame = {
    type: string;
    payload: any;
    id?: string | undefined;
    seq?: number | undefined;
    mid?: string | undefined;
};
/**
 * Frames from a device
 */
export type Message = {
    type: string;
    payload?: Record<string, unknown>;
};
