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
    /** All of them, this one included, in the order in which they were registered. @returns {KnownDevice[]} */
    get all(): KnownDevice[];
    /** @param {string} id */
    get(id: string): KnownDevice | undefined;
    /**
     * @param {import("./wire.js").Frame} frame
     * @returns {Change[]} what is different now
     */
    apply({ type, payload }: import("./wire.js").Frame): Change[];
    #private;
}
/**
 * A device as it is known here. One that was heard of by `device_online` alone has no row's id yet.
 */
export type KnownDevice = Pick<import("./wire.js").Device, "device_id" | "device_name" | "device_type" | "is_online"> & Partial<import("./wire.js").Device>;
export type Change = {
    kind: "online" | "offline" | "updated" | "removed";
    device: KnownDevice;
};
