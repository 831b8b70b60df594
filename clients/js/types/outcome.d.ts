/**
 * The error that an outcome means; none for `delivered`.
 * @param {import("./wire.js").Frame} frame
 * @returns {StreamzError | undefined}
 */
export function outcomeError({ type, payload }: import("./wire.js").Frame): StreamzError | undefined;
/**
 * The size of a text as the server counts it.
 * @param {string} text
 */
export function byteLength(text: string): number;
import { StreamzError } from "./errors.js";
