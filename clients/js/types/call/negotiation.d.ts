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
    /** @param {NegotiationParts} parts */
    constructor(parts: NegotiationParts);
    /** Whether this description comes from another peer connection than those before it. @param {string} sdp */
    isReborn(sdp: string): boolean;
    /** @param {"offer" | "answer"} type @param {string} sdp */
    description(type: "offer" | "answer", sdp: string): void;
    /** @param {{ candidate: string, sdp_mid?: string | null, sdp_mline_index?: number | null, username_fragment?: string | null }} said */
    candidate({ candidate, sdp_mid, sdp_mline_index, username_fragment }: {
        candidate: string;
        sdp_mid?: string | null;
        sdp_mline_index?: number | null;
        username_fragment?: string | null;
    }): void;
    close(): void;
    #private;
}
export type NegotiationParts = {
    pc: RTCPeerConnection;
    /**
     * whose offer gives way when both offer at once: the one that was rung is polite
     */
    polite: boolean;
    /**
     * whether the first offer is ours; else negotiation waits for the other side's
     */
    begins: boolean;
    send: (type: "sdp_offer" | "sdp_answer" | "ice_candidate", payload: Record<string, unknown>) => Promise<void>;
    clock: import("../clock.js").Clock;
    failed: (error: unknown) => void;
};
