// The calls of one device, whose server is the test.

import assert from "node:assert/strict";

import { Calls } from "../../src/call/calls.js";
import { deferred } from "../../src/deferred.js";
import { StreamzError } from "../../src/errors.js";
import { FakeClock, FakeMediaStream, FakePeerConnection, turns } from "./fakes.js";

/**
 * The calls of a device.
 * @param {string} [deviceId]
 * @param {any} [RTCPeerConnection]
 */
export function setUp(deviceId = "phone", RTCPeerConnection = FakePeerConnection) {
  const clock = new FakeClock();
  /** @type {{ type: string, payload: any, id: string, outcome: ReturnType<typeof deferred<void>> }[]} */
  const sent = [];
  /** @type {import("../../src/call/call.js").Call[]} */
  const incoming = [];
  /** @type {import("../../src/call/call.js").Call[]} */
  const ongoing = [];
  const calls = new Calls({
    deviceId,
    clock,
    random: () => 0,
    RTCPeerConnection,
    MediaStream: FakeMediaStream,
    submit: ({ type, payload }) => {
      /** @type {ReturnType<typeof deferred<void>>} */
      const outcome = deferred();
      const id = `m${sent.length + 1}`;
      sent.push({ type, payload, id, outcome });
      return { id, outcome: outcome.promise };
    },
    iceServers: () => [],
    device: () => undefined,
    incoming: (call) => void incoming.push(call),
    ongoing: (call) => void ongoing.push(call),
  });
  const says = (/** @type {string} */ type, /** @type {any} */ payload) => calls.handle({ type, payload });
  const last = (/** @type {string} */ type) => {
    const found = sent.findLast((message) => message.type === type);
    assert.ok(found, `${type} was sent`);
    return found;
  };
  const pc = (/** @type {import("../../src/call/call.js").Call} */ call) => /** @type {FakePeerConnection} */ (/** @type {unknown} */ (call.peerConnection));
  /** A ring from the television. */
  const ring = (/** @type {any} */ rest = {}) => {
    says("stream_start", { stream_id: "s1", from_device_id: "tv", stream_type: "video", source_device_id: "tv", ...rest });
    clock.settle();
  };
  /** A call of ours that was answered and flows. */
  const active = async () => {
    const call = calls.start("tv", null, { type: "video" });
    says("stream_ringing", { id: last("stream_start").id, stream_id: "s1", to: ["tv"] });
    last("stream_start").outcome.resolve();
    await turns();
    says("stream_accept", { stream_id: "s1", from_device_id: "tv" });
    pc(call).becomes("connected");
    await turns();
    return call;
  };
  return { calls, clock, sent, incoming, ongoing, says, last, pc, ring, active };
}

export const failure = (/** @type {string} */ code, retryable = false) => new StreamzError(code, code, { retryable });
export const types = (/** @type {{ type: string }[]} */ sent) => sent.map(({ type }) => type);
export const stream = (/** @type {any} */ rest = {}) => ({ id: "s1", stream_type: "video", state: "active", from_device_id: "phone", to: ["tv"], source_device: { device_id: "phone" }, ...rest });
export const welcome = (/** @type {any[]} */ ...streams) => /** @type {any} */ ({ resumed: false, streams });
