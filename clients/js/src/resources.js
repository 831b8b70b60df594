// The HTTP API's resources. Objects are those of the server, in its spelling.

/** @typedef {import("./wire.js").Device} Device */
/** @typedef {import("./wire.js").StreamRecord} StreamRecord */

/** @typedef {(method: string, path: string, options?: Omit<import("./http.js").RequestOptions, "token">) => Promise<any>} Call */

/** `streamz.devices` */
export class DeviceApi {
  #call;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
  }

  /** All devices of the account, with their presence. @returns {Promise<Device[]>} */
  async list() {
    return (await this.#call("GET", "/api/devices")).devices;
  }

  /**
   * Registers a device ahead of its first connection.
   * @param {{ id: string, name: string, type?: string }} device
   * @returns {Promise<Device>}
   */
  create({ id, name, type }) {
    return this.#call("POST", "/api/devices", { body: { device_id: id, device_name: name, device_type: type } });
  }

  /** @param {string} id @param {string} name @returns {Promise<Device>} */
  rename(id, name) {
    return this.update(id, { name });
  }

  /**
   * Changes what is given.
   * @param {string} id
   * @param {{ name?: string, type?: string }} changes
   * @returns {Promise<Device>}
   */
  update(id, { name, type }) {
    return this.#call("PUT", devicePath(id), { body: { device_name: name, device_type: type } });
  }

  /** Its connection closes and its streams end. @param {string} id @returns {Promise<void>} */
  remove(id) {
    return this.#call("DELETE", devicePath(id));
  }
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
  #call;

  /** @param {Call} call */
  constructor(call) {
    this.#call = call;
  }

  /**
   * One page, newest first.
   * @param {StreamFilter & { cursor?: string }} [filter] `cursor` is where the last page ended
   * @returns {Promise<{ streams: StreamRecord[], nextCursor: string | null }>}
   */
  async list({ active, device, limit, cursor } = {}) {
    const query = { active, device_id: device, limit, cursor };
    const { streams, next_cursor } = await this.#call("GET", "/api/streams", { query });
    return { streams, nextCursor: next_cursor ?? null };
  }

  /**
   * All of them, newest first: pages are fetched as they are needed.
   * @param {StreamFilter} [filter]
   * @returns {AsyncGenerator<StreamRecord, void, void>}
   */
  async *all(filter = {}) {
    /** @type {string | null | undefined} */
    let cursor;
    do {
      const page = await this.list({ ...filter, ...(cursor && { cursor }) });
      yield* page.streams;
      cursor = page.nextCursor;
    } while (cursor);
  }

  /** One record. @param {string} id @returns {Promise<StreamRecord>} */
  get(id) {
    return this.#call("GET", `/api/streams/${encodeURIComponent(id)}`);
  }
}

/** @param {string} id */
function devicePath(id) {
  return `/api/devices/${encodeURIComponent(id)}`;
}
