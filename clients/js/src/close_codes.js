import { StreamzError } from "./errors.js";

/** The protocol's close codes: `code → [word, what it means for the person]`. */
const TABLE = new Map([
  [4000, ["draining", "This server is going away."]],
  [4001, ["token_expired", "The access token lapsed."]],
  [4002, ["slow_consumer", "This device read too slowly."]],
  [4003, ["no_heartbeat", "This device did not answer the server's pings."]],
  [4004, ["rate_limited", "This device kept sending above the rate."]],
  [4005, ["unavailable", "A part of the service cannot be reached."]],
  [4500, ["invalid_token", "The access token is not valid here: sign in again."]],
  [4501, ["replaced", "This device connected anew, elsewhere."]],
  [4502, ["revoked", "The sign-in was ended: sign in again."]],
  [4503, ["protocol_violation", "The client broke the protocol."]],
  [4504, ["device_removed", "This device was removed from the account."]],
  [4505, ["too_many_devices", "As many devices as allowed are online."]],
]);

/**
 * Whether one comes back after this code. What the protocol does not name is the network's doing.
 * @param {number} code
 */
export function comesBack(code) {
  return code < 4500 || code > 4999;
}

/**
 * @param {number} code
 * @param {string} [reason] what the close frame says
 */
export function closeError(code, reason) {
  const [word, text] = TABLE.get(code) ?? ["network", `The connection was closed with code ${code}.`];
  const name = TABLE.has(code) || comesBack(code) ? word : "closed_for_good";
  return new StreamzError(name, reason || text, { closeCode: code, retryable: comesBack(code) });
}
