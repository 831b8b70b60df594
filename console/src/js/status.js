// What is said of the connection. Without I/O, so that it can be tested: it must never say more than is known.

/** So long "resumed" is shown. */
export const RESUMED_MS = 6_000;
/** Away for longer than this, others may see this device as offline. */
export const AWAY_MS = 10_000;

/** Why a connection is over, for people. */
const CLOSED = {
  replaced: "This device was opened somewhere else.",
  device_removed: "This device was removed from your account.",
  too_many_devices: "As many devices as allowed are online. Close one, then try again.",
  revoked: "You were signed out.",
  invalid_token: "You were signed out.",
};

/**
 * @param {object} known
 * @param {{ name: string, resumed?: boolean, error?: { code: string }, retryAt?: number } | null} known.state null before the first one
 * @param {boolean} known.network what the browser says of the network
 * @param {boolean} known.returned whether it had been online before
 * @param {number} known.since when the state began
 * @param {number} known.startedAt when connecting began
 * @param {number} now
 * @returns {{ kind: "connecting" | "live" | "resumed" | "degraded" | "offline", text: string, detail: string }}
 */
export function describe({ state, network, returned, since, startedAt }, now) {
  if (state?.name === "closed") {
    return { kind: "offline", text: "Offline", detail: CLOSED[state.error?.code ?? ""] ?? "The connection is closed." };
  }
  if (!network && state?.name !== "online") {
    return { kind: "offline", text: "Offline", detail: "This device has no network. It comes back by itself." };
  }
  if (state?.name === "online") {
    if (!returned || now - since > RESUMED_MS) return { kind: "live", text: "Live", detail: "Connected. Changes arrive at once." };
    return state.resumed
      ? { kind: "resumed", text: "Resumed", detail: "Back again; nothing was missed." }
      : { kind: "resumed", text: "Reconnected", detail: "Back with a new session; everything was read anew." };
  }
  if (state?.name === "away") {
    const wait = state.retryAt === undefined ? 0 : Math.ceil((state.retryAt - now) / 1000);
    const next = wait > 0 ? `Next try in ${wait} s.` : "Trying now.";
    const seen = now - since > AWAY_MS ? "Other devices may see this one as offline." : "Calls go on meanwhile.";
    return { kind: "degraded", text: "Reconnecting", detail: `${why(state.error?.code)} ${seen} ${next}` };
  }
  if (now - startedAt > AWAY_MS) {
    return { kind: "degraded", text: "No answer", detail: "The server does not answer yet. It is tried again and again." };
  }
  return { kind: "connecting", text: "Connecting", detail: "Connecting to the server." };
}

function why(code) {
  switch (code) {
    case "draining":
      return "The server is restarting.";
    case "unavailable":
      return "A part of the service cannot be reached.";
    case "rate_limited":
      return "This device sent too much.";
    default:
      return "The connection was lost.";
  }
}
