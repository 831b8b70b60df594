import { originOf, versionOf } from "./sdp.js";

/** How long to wait before a description that could not be delivered is sent again. */
const AGAIN_MS = 1_000;

/**
 * @typedef {object} NegotiationParts
 * @property {RTCPeerConnection} pc
 * @property {boolean} polite whose offer gives way when both offer at once: the one that was rung is polite
 * @property {boolean} begins whether the first offer is ours; else negotiation waits for the other side's
 * @property {(type: "sdp_offer" | "sdp_answer" | "ice_candidate", payload: Record<string, unknown>) => Promise<void>} send
 * @property {import("../clock.js").Clock} clock
 * @property {(error: unknown) => void} failed
 */

/**
 * Perfect negotiation over one peer connection: either side may change what it sends at any time. What comes from the
 * other side is worked off in order.
 */
export class Negotiation {
  #parts;
  #pc;
  #mayOffer;
  #makingOffer = false;
  #ignoredOffer = false;
  #closed = false;
  /** @type {Promise<unknown>} */
  #work = Promise.resolve();
  /** Candidates that came before the description that they belong to. @type {RTCIceCandidateInit[]} */
  #early = [];
  /** @type {string | undefined} */
  #origin;
  /** The last offer that was answered. @type {string | undefined} */
  #answered;

  /** @param {NegotiationParts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#pc = parts.pc;
    this.#mayOffer = parts.begins;
    this.#pc.onnegotiationneeded = () => void this.#offer();
    this.#pc.onicecandidate = ({ candidate }) => this.#tellCandidate(candidate);
  }

  /** Whether this description comes from another peer connection than those before it. @param {string} sdp */
  isReborn(sdp) {
    return this.#origin !== undefined && this.#origin !== originOf(sdp);
  }

  /** @param {"offer" | "answer"} type @param {string} sdp */
  description(type, sdp) {
    this.#queue(() => (type === "offer" ? this.#takeOffer(sdp) : this.#takeAnswer(sdp)));
  }

  /** @param {{ candidate: string, sdp_mid?: string | null, sdp_mline_index?: number | null, username_fragment?: string | null }} said */
  candidate({ candidate, sdp_mid, sdp_mline_index, username_fragment }) {
    const init = {
      candidate,
      // One of the two must be there; without either it is about the first.
      sdpMid: sdp_mid ?? (sdp_mline_index === undefined ? "0" : null),
      sdpMLineIndex: sdp_mline_index ?? null,
      ...(username_fragment && { usernameFragment: username_fragment }),
    };
    this.#queue(async () => {
      if (this.#pc.remoteDescription) await this.#add(init);
      else if (this.#early.length < 256) this.#early.push(init);
    });
  }

  close() {
    this.#closed = true;
    this.#pc.onnegotiationneeded = this.#pc.onicecandidate = null;
  }

  /** @param {() => Promise<void>} step */
  #queue(step) {
    this.#work = this.#work.then(async () => {
      if (this.#closed) return;
      try {
        await step();
      } catch (error) {
        if (!this.#closed) this.#parts.failed(error);
      }
    });
  }

  async #offer() {
    // The one that was rung lets the other begin: its own wishes are part of the answer, or come after it.
    if (!this.#mayOffer || this.#closed) return;
    try {
      this.#makingOffer = true;
      await this.#pc.setLocalDescription();
      this.#tell("sdp_offer");
    } catch (error) {
      if (!this.#closed) this.#parts.failed(error);
    } finally {
      this.#makingOffer = false;
    }
  }

  /** @param {string} sdp */
  async #takeOffer(sdp) {
    // Told again by a side that could not know that its first one had arrived: the answer is on its way.
    if (sdp === this.#answered) return;
    const collision = this.#makingOffer || this.#pc.signalingState !== "stable";
    this.#ignoredOffer = collision && !this.#parts.polite;
    if (this.#ignoredOffer) {
      // A page that was loaded anew has never seen ours, and would wait for the answer to its own for ever.
      if (this.#pc.signalingState === "have-local-offer") this.#tell("sdp_offer");
      return;
    }
    // Rolls our own offer back if there is one: it is made again afterwards.
    await this.#pc.setRemoteDescription({ type: "offer", sdp });
    await this.#described(sdp);
    await this.#pc.setLocalDescription();
    this.#mayOffer = true;
    this.#answered = sdp;
    this.#tell("sdp_answer");
  }

  /** @param {string} sdp */
  async #takeAnswer(sdp) {
    // An answer to an offer that was rolled back, or that came twice.
    if (this.#pc.signalingState !== "have-local-offer") return;
    await this.#pc.setRemoteDescription({ type: "answer", sdp });
    await this.#described(sdp);
  }

  /** @param {string} sdp */
  async #described(sdp) {
    this.#origin = originOf(sdp);
    for (const init of this.#early.splice(0)) await this.#add(init);
  }

  /** @param {RTCIceCandidateInit} init */
  async #add(init) {
    try {
      await this.#pc.addIceCandidate(init);
    } catch {
      // Of an offer that was ignored, of a generation that is over, or of a kind that this browser does not know: a
      // connection lives on the candidates that it can use.
    }
  }

  /** @param {RTCIceCandidate | null} found null: there are no more */
  #tellCandidate(found) {
    const payload = {
      candidate: found?.candidate ?? "",
      sdp_mid: found ? found.sdpMid : "0",
      sdp_mline_index: found ? found.sdpMLineIndex : 0,
      ...(found?.usernameFragment && { username_fragment: found.usernameFragment }),
    };
    // One that is not delivered is one path less, and stale ones are refused by design.
    this.#parts.send("ice_candidate", payload).catch(() => {});
  }

  /** @param {"sdp_offer" | "sdp_answer"} type */
  #tell(type) {
    const sdp = this.#pc.localDescription?.sdp;
    if (sdp === undefined) return;
    const version = versionOf(sdp);
    this.#parts.send(type, { sdp }).catch((error) => {
      // Without it both sides would wait for ever. If it did arrive, the second one changes nothing.
      const still = () => !this.#closed && versionOf(this.#pc.localDescription?.sdp) === version;
      if (!error.retryable || !still()) return;
      this.#parts.clock.alarm(this.#parts.clock.now() + AGAIN_MS, () => still() && this.#tell(type));
    });
  }
}
