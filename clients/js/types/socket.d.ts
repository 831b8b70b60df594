/**
 * @typedef {object} SocketListener
 * @property {() => void} open
 * @property {(data: unknown) => void} message
 * @property {(code: number, reason: string) => void} close told once, also when it could not be opened
 */
/** One WebSocket whose listener can be taken away: what a connection that was given up says later is of no interest. */
export class Socket {
    /**
     * @param {any} WebSocketClass
     * @param {string} url
     * @param {string[]} protocols
     * @param {SocketListener} listener
     */
    constructor(WebSocketClass: any, url: string, protocols: string[], listener: SocketListener);
    /** @param {string} text */
    send(text: string): void;
    /** Hears no more from it. It stays open, so that the server does not see a device that says goodbye. */
    detach(): void;
    /** Says goodbye. */
    close(): void;
    #private;
}
export type SocketListener = {
    open: () => void;
    message: (data: unknown) => void;
    /**
     * told once, also when it could not be opened
     */
    close: (code: number, reason: string) => void;
};
