import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Received } from "../../src/call/received.js";
import { FakeMediaStream } from "../support/fakes.js";

/** @param {string} kind @returns {any} */
const track = (kind) => Object.assign(new EventTarget(), { kind, readyState: "live" });

describe("what the other side sends", () => {
  it("is one picture and its sound for an element, and all of it as a list", () => {
    const received = new Received(/** @type {any} */ (FakeMediaStream));
    const [sound, camera, screen] = [track("audio"), track("video"), track("video")];
    for (const one of [sound, camera, screen, camera]) received.add(one);
    assert.deepEqual(received.stream.getTracks(), [sound, camera]);
    assert.deepEqual(received.tracks, [sound, camera, screen]);
    // The screen takes the place of the camera that is sent no more.
    camera.readyState = "ended";
    camera.dispatchEvent(new Event("ended"));
    assert.deepEqual(received.stream.getTracks(), [sound, screen]);
  });

  it("is that of the new connection after one was replaced", () => {
    const received = new Received(/** @type {any} */ (FakeMediaStream));
    const [old, fresh] = [track("video"), track("video")];
    received.add(old);
    old.readyState = "ended";
    assert.deepEqual(received.tracks, []);
    received.add(fresh);
    assert.deepEqual(received.stream.getTracks(), [fresh]);
    assert.deepEqual(received.tracks, [fresh]);
  });
});
