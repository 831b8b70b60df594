import { StreamzError } from "./errors.js";

/** What the reasons of `not_delivered` mean, and whether the same message may succeed later. */
const REASONS = new Map([
  ["offline", ["The device is not online.", true]],
  ["unknown_device", ["The account has no device of that name.", false]],
  ["busy", ["The device is in as many streams as it takes.", true]],
  ["backlog", ["Too many messages wait for their outcome.", true]],
  ["slow_consumer", ["The device read too slowly; it never got the message.", true]],
  ["answered_elsewhere", ["Another device had accepted the ring.", false]],
  ["expired", ["Nobody confirmed the message in time: it may or may not have arrived.", true]],
]);

/** Error codes after which the same message may succeed later. */
const LATER = new Set(["rate_limited", "unavailable", "too_many_streams"]);

/**
 * The error that an outcome means; none for `delivered`.
 * @param {import("./wire.js").Frame} frame
 * @returns {StreamzError | undefined}
 */
export function outcomeError({ type, payload }) {
  if (type === "delivered") return undefined;
  if (type === "not_delivered") {
    const [text, retryable] = REASONS.get(payload.reason) ?? [`Not delivered: ${payload.reason}.`, false];
    return new StreamzError(String(payload.reason), String(text), {
      retryable: retryable === true,
      certain: payload.reason !== "expired",
      failed: Array.isArray(payload.failed) ? payload.failed : [],
    });
  }
  const text = typeof payload.message === "string" ? payload.message : "The server refused the message.";
  return new StreamzError(String(payload.code), text, { retryable: LATER.has(payload.code), certain: true });
}

const encoder = new TextEncoder();

/**
 * The size of a text as the server counts it.
 * @param {string} text
 */
export function byteLength(text) {
  return encoder.encode(text).length;
}
