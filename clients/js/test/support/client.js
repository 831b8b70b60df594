import { WebSocket } from "ws";
import { Streamz } from "../../src/index.js";

let people = 0;

/** An account that nobody else has. */
export function person() {
  people += 1;
  return { email: `person-${process.pid}-${people}@example.org`, password: "correct horse battery" };
}

/**
 * A client that is signed in.
 * @param {string} url
 * @param {{ email: string, password: string }} [account] given, it signs in instead of registering
 * @param {import("../../src/streamz.js").StreamzOptions} [options]
 */
export async function signedIn(url, account, options = {}) {
  const streamz = new Streamz(url, { WebSocket, ...options });
  if (account) await streamz.login(account);
  else await streamz.register(person());
  return streamz;
}
