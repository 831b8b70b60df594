/** @typedef {import("./wire.js").Device} Device */
/** @typedef {import("./wire.js").StreamRecord} StreamRecord */
/** @typedef {(method: string, path: string, options?: Omit<import("./http.js").RequestOptions, "token">) => Promise<any>} Call */
/** `streamz.devices` */
export class DeviceApi {
    /** @param {Call} call */
    constructor(call: Call);
    /** All devices of the account, with their presence. @returns {Promise<Device[]>} */
    list(): Promise<Device[]>;
    /**
     * Registers a device ahead of its first connection.
     * @param {{ id: string, name: string, type?: string }} device
     * @returns {Promise<Device>}
     */
    create({ id, name, type }: {
        id: string;
        name: string;
        type?: string;
    }): Promise<Device>;
    /** @param {string} id @param {string} name @returns {Promise<Device>} */
    rename(id: string, name: string): Promise<Device>;
    /**
     * Changes what is given.
     * @param {string} id
     * @param {{ name?: string, type?: string }} changes
     * @returns {Promise<Device>}
     */
    update(id: string, { name, type }: {
        name?: string;
        type?: string;
    }): Promise<Device>;
    /** Its connection closes and its streams end. @param {string} id @returns {Promise<void>} */
    remove(id: string): Promise<void>;
    #private;
}
/**
 * Which records are wanted.
 * @typedef {object} StreamFilter
 * @property {boolean} [active] only live ones, or only ended ones
 * @property {string} [device] only those of this device
 * @property {number} [limit] at most so many a page, 1 to 100
 */
/** `streamz.streams` */
export class StreamApi {
    /** @param {Call} call */
    constructor(call: Call);
    /**
     * One page, newest first.
     * @param {StreamFilter & { cursor?: string }} [filter] `cursor` is where the last page ended
     * @returns {Promise<{ streams: StreamRecord[], nextCursor: string | null }>}
     */
    list({ active, device, limit, cursor }?: StreamFilter & {
        cursor?: string;
    }): Promise<{
        streams: StreamRecord[];
        nextCursor: string | null;
    }>;
    /**
     * All of them, newest first: pages are fetched as they are needed.
     * @param {StreamFilter} [filter]
     * @returns {AsyncGenerator<StreamRecord, void, void>}
     */
    all(filter?: StreamFilter): AsyncGenerator<StreamRecord, void, void>;
    /** One record. @param {string} id @returns {Promise<StreamRecord>} */
    get(id: string): Promise<StreamRecord>;
    #private;
}
export type Device = import("./wire.js").Device;
export type StreamRecord = import("./wire.js").StreamRecord;
export type Call = (method: string, path: string, options?: Omit<import("./http.js").RequestOptions, "token">) => Promise<any>;
/**
 * Which records are wanted.
 */
export type StreamFilter = {
    /**
     * only live ones, or only ended ones
     */
    active?: boolean | undefined;
    /**
     * only those of this device
     */
    device?: string | undefined;
    /**
     * at most so many a page, 1 to 100
     */
    limit?: number | undefined;
};
