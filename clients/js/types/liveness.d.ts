export class Liveness {
    /**
     * @param {number} now
     * @param {number} welcomeMs how long the connection and its `welcome` may take
     */
    constructor(now: number, welcomeMs: number);
    /** @param {number} now @param {number} heartbeatMs */
    welcome(now: number, heartbeatMs: number): void;
    /** Something arrived. @param {number} now */
    heard(now: number): void;
    /** When to `look` again. */
    get deadline(): number;
    /**
     * Time has passed.
     * @param {number} now
     * @returns {"alive" | "ping" | "dead"}
     */
    look(now: number): "alive" | "ping" | "dead";
    /**
     * There is a reason to doubt.
     * @param {number} now
     * @returns {"alive" | "ping"}
     */
    doubt(now: number): "alive" | "ping";
    #private;
}
