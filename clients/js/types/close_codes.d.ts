/**
 * Whether one comes back after this code. What the protocol does not name is the network's doing.
 * @param {number} code
 */
export function comesBack(code: number): boolean;
/**
 * @param {number} code
 * @param {string} [reason] what the close frame says
 */
export function closeError(code: number, reason?: string): StreamzError;
import { StreamzError } from "./errors.js";
