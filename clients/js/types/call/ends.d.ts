/**
 * Ends of streams that the server may not have heard of yet. The other side waits for them, however long this one is
 * away.
 */
export class Ends {
    /** @param {Pick<import("./calls.js").CallsParts, "submit" | "clock">} parts */
    constructor(parts: Pick<import("./calls.js").CallsParts, "submit" | "clock">);
    /** @param {string} stream */
    has(stream: string): boolean;
    /** @param {import("../wire.js").Message} message */
    send(message: import("../wire.js").Message): Promise<void>;
    #private;
}
