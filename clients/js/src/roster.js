/**
 * A device as it is known here. One that was heard of by `device_online` alone has no row's id yet.
 * @typedef {Pick<import("./wire.js").Device, "device_id" | "device_name" | "device_type" | "is_online">
 *   & Partial<import("./wire.js").Device>} KnownDevice
 */

/**
 * @typedef {{ kind: "online" | "offline" | "updated" | "removed", device: KnownDevice }} Change
 */

/** The account's devices, kept up with what the server says. */
export class Roster {
  /** @type {Map<string, KnownDevice>} */
  #devices = new Map();

  /** All of them, this one included, in the order in which they were registered. @returns {KnownDevice[]} */
  get all() {
    return [...this.#devices.values()];
  }

  /** @param {string} id */
  get(id) {
    return this.#devices.get(id);
  }

  /**
   * @param {import("./wire.js").Frame} frame
   * @returns {Change[]} what is different now
   */
  apply({ type, payload }) {
    switch (type) {
      case "welcome":
        return this.#replace(payload.devices);
      case "device_online": {
        const { device_id, device_name, device_type } = payload;
        return this.#put({ ...this.#devices.get(device_id), device_id, device_name, device_type, is_online: true });
      }
      case "device_offline": {
        const device = this.#devices.get(payload.device_id);
        return device ? this.#put({ ...device, is_online: false }) : [];
      }
      case "device_updated":
        return this.#put(payload);
      case "device_removed": {
        const device = this.#devices.get(payload.device_id);
        this.#devices.delete(payload.device_id);
        return device ? [{ kind: "removed", device: { ...device, is_online: false } }] : [];
      }
      default:
        return [];
    }
  }

  /** @param {KnownDevice[]} devices @returns {Change[]} */
  #replace(devices) {
    const known = this.#devices;
    const ids = new Set(devices.map((device) => device.device_id));
    const gone = [...known.values()].filter((device) => !ids.has(device.device_id));
    this.#devices = new Map();
    for (const { device_id } of devices) {
      // Kept for the comparison, and for the order of the server's list.
      const before = known.get(device_id);
      if (before) this.#devices.set(device_id, before);
    }
    /** @type {Change[]} */
    const changes = gone.map((device) => ({ kind: "removed", device: { ...device, is_online: false } }));
    for (const device of devices) changes.push(...this.#put(device));
    this.#devices = new Map(devices.map((device) => [device.device_id, device]));
    return changes;
  }

  /** @param {KnownDevice} device @returns {Change[]} */
  #put(device) {
    const before = this.#devices.get(device.device_id);
    this.#devices.set(device.device_id, device);
    /** @type {Change[]} */
    const changes = [];
    const renamed = before && (before.device_name !== device.device_name || before.device_type !== device.device_type);
    if (renamed || (!before && !device.is_online)) changes.push({ kind: "updated", device });
    if ((before?.is_online ?? false) !== device.is_online) {
      changes.push({ kind: device.is_online ? "online" : "offline", device });
    }
    return changes;
  }
}
