/**
 * @param {Iterable<any>} report the values of an `RTCStatsReport`
 * @param {number} now
 * @param {Totals} [last]
 * @returns {{ stats: CallStats, totals: Totals }}
 */
export function readStats(report: Iterable<any>, now: number, last?: Totals): {
    stats: CallStats;
    totals: Totals;
};
/**
 * Whether a reading is news for the stream's record.
 * @param {CallStats} stats
 * @param {CallStats | undefined} told
 */
export function isNews(stats: CallStats, told: CallStats | undefined): boolean;
export type CallStats = {
    path: "p2p" | "relay" | null;
    rttMs: number | null;
    quality: "good" | "fair" | "poor";
    /**
     * bits a second
     */
    sendBitrate: number;
    receiveBitrate: number;
    /**
     * share of the packets that were lost lately, either way, 0 to 1
     */
    loss: number;
    /**
     * of the picture that arrives
     */
    framesPerSecond: number | null;
    /**
     * in all
     */
    framesDecoded: number;
};
export type Totals = {
    at: number;
    sent: number;
    received: number;
    lost: number;
    packets: number;
};
