/**
 * What is kept of a sign-in.
 * @typedef {object} SignIn
 * @property {import("./wire.js").User} user
 * @property {string} accessToken
 * @property {string} refreshToken
 * @property {string} [nextRefreshToken] which one takes its place
 * @property {number} expiresAt when the access token lapses, in milliseconds since the epoch
 * @property {number} lifeMs how long it lasts in all
 */

/**
 * Where a sign-in is kept. Each method may return a promise.
 * @typedef {object} TokenStorage
 * @property {() => SignIn | null | Promise<SignIn | null>} read
 * @property {(signIn: SignIn) => void | Promise<void>} write
 * @property {() => void | Promise<void>} clear
 * @property {string} [lock] programs whose storages name the same lock share a sign-in: they refresh in turn
 */

/**
 * Kept as long as the program runs.
 * @returns {TokenStorage}
 */
export function memoryStorage() {
  /** @type {SignIn | null} */
  let kept = null;
  return {
    read: () => kept,
    write: (signIn) => {
      kept = signIn;
    },
    clear: () => {
      kept = null;
    },
  };
}

/**
 * Kept in the browser, for all tabs of this origin. A script that runs in the page can read it: serve pages with a
 * strict Content-Security-Policy.
 * @param {string} [key]
 * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} [storage]
 * @returns {TokenStorage}
 */
export function localStorageStorage(key = "streamz", storage = globalThis.localStorage) {
  return {
    lock: `streamz:${key}`,
    read: () => {
      try {
        const kept = JSON.parse(storage.getItem(key) ?? "null");
        return typeof kept?.refreshToken === "string" ? kept : null;
      } catch {
        // Written by something else.
        return null;
      }
    },
    write: (signIn) => storage.setItem(key, JSON.stringify(signIn)),
    clear: () => storage.removeItem(key),
  };
}
