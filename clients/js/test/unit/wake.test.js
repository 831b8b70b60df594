import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { onWake } from "../../src/wake.js";

describe("a page that wakes", () => {
  it("says so by each of its events, until it is told not to", () => {
    const scope = Object.assign(new EventTarget(), {
      document: Object.assign(new EventTarget(), { visibilityState: "hidden" }),
      navigator: { connection: new EventTarget() },
    });
    /** @type {string[]} */
    const heard = [];
    const off = onWake((why) => void heard.push(why), scope);
    const all = () => {
      for (const type of ["online", "pageshow"]) scope.dispatchEvent(new Event(type));
      scope.document.dispatchEvent(new Event("visibilitychange"));
      scope.navigator.connection.dispatchEvent(new Event("change"));
    };
    all();
    assert.deepEqual(heard.splice(0), ["online", "pageshow", "network"]);
    scope.document.visibilityState = "visible";
    all();
    assert.deepEqual(heard.splice(0), ["online", "pageshow", "visible", "network"]);
    off();
    all();
    assert.deepEqual(heard, []);
  });

  it("is nothing where there is no page", () => {
    onWake(() => assert.fail(), {})();
  });
});
