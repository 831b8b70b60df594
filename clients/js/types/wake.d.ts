/**
 * Calls `listener` when the machine woke, the page came to the front or the network changed: what was thought about
 * the connection may be wrong now. Returns a function that ends it. Where there is no page, nothing happens.
 * @param {(why: "online" | "visible" | "pageshow" | "network") => void} listener
 * @param {any} [scope] for tests: what `window` is in a page
 * @returns {() => void}
 */
export function onWake(listener: (why: "online" | "visible" | "pageshow" | "network") => void, scope?: any): () => void;
