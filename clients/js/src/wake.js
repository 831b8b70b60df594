/**
 * Calls `listener` when the machine woke, the page came to the front or the network changed: what was thought about
 * the connection may be wrong now. Returns a function that ends it. Where there is no page, nothing happens.
 * @param {(why: "online" | "visible" | "pageshow" | "network") => void} listener
 * @param {any} [scope] for tests: what `window` is in a page
 * @returns {() => void}
 */
export function onWake(listener, scope = globalThis) {
  /** @type {[any, string, () => void][]} */
  const bound = [];
  const bind = (/** @type {any} */ target, /** @type {string} */ type, /** @type {() => void} */ call) => {
    if (typeof target?.addEventListener !== "function") return;
    target.addEventListener(type, call);
    bound.push([target, type, call]);
  };
  bind(scope, "online", () => listener("online"));
  bind(scope, "pageshow", () => listener("pageshow"));
  bind(scope.document, "visibilitychange", () => {
    if (scope.document.visibilityState === "visible") listener("visible");
  });
  bind(scope.navigator?.connection, "change", () => listener("network"));
  return () => {
    for (const [target, type, call] of bound) target.removeEventListener(type, call);
  };
}
