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
export function memoryStorage(): TokenStorage;
/**
 * Kept in the browser, for all tabs of this origin. A script that runs in the page can read it: serve pages with a
 * strict Content-Security-Policy.
 * @param {string} [key]
 * @param {Pick<Storage, "getItem" | "setItem" | "removeItem">} [storage]
 * @returns {TokenStorage}
 */
export function localStorageStorage(key?: string, storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">): TokenStorage;
/**
 * What is kept of a sign-in.
 */
export type SignIn = {
    user: import("./wire.js").User;
    accessToken: string;
    refreshToken: string;
    /**
     * which one takes its place
     */
    nextRefreshToken?: string | undefined;
    /**
     * when the access token lapses, in milliseconds since the epoch
     */
    expiresAt: number;
    /**
     * how long it lasts in all
     */
    lifeMs: number;
};
/**
 * Where a sign-in is kept. Each method may return a promise.
 */
export type TokenStorage = {
    read: () => SignIn | null | Promise<SignIn | null>;
    write: (signIn: SignIn) => void | Promise<void>;
    clear: () => void | Promise<void>;
    /**
     * programs whose storages name the same lock share a sign-in: they refresh in turn
     */
    lock?: string | undefined;
};
