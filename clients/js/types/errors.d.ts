/**
 * The error that an HTTP answer means. What is not a problem (RFC 9457) came from something in between.
 * @param {number} status
 * @param {any} body the parsed JSON, or nothing
 * @param {string | null} [retryAfter] the header
 * @param {number} [now] for a `Retry-After` that is a date
 */
export function problem(status: number, body: any, retryAfter?: string | null, now?: number): StreamzError;
/**
 * Seconds, or a date (RFC 9110 section 10.2.3).
 * @param {string | null | undefined} header
 * @param {number} now
 * @returns {number | undefined}
 */
export function readRetryAfter(header: string | null | undefined, now: number): number | undefined;
/**
 * The error that a request without an answer means.
 * @param {unknown} cause
 */
export function noAnswer(cause: unknown): StreamzError;
/**
 * What a `StreamzError` may say beside its code.
 * @typedef {object} ErrorDetails
 * @property {number} [status] the HTTP status, if an HTTP answer said it
 * @property {boolean} [retryable] whether the same may succeed later
 * @property {number} [retryAfterMs] how long the server asks to wait
 * @property {number} [closeCode] the WebSocket close code, if that said it
 * @property {{ field: string, message: string }[]} [fields] what is wrong with which field
 * @property {string} [requestId] for whoever looks into the server's log
 * @property {boolean} [certain] of a message: whether it surely did not arrive
 * @property {{ device_id: string, reason: string }[]} [failed] of a message to all: whom it did not reach
 * @property {unknown} [cause]
 */
/**
 * Everything that goes wrong here is one of these. Programs read `code`: it is one of the protocol's documented codes
 * and reasons, or one that only a client can know (`network`, `backlog`, `too_large`, `away`, `closed`, `signed_out`,
 * `no_welcome`, `silent`, `protocol`, `aborted`, `media_failed`, `unsupported`).
 */
export class StreamzError extends Error {
    /**
     * @param {string} code
     * @param {string} message a sentence for the developer
     * @param {ErrorDetails} [details]
     */
    constructor(code: string, message: string, details?: ErrorDetails);
    code: string;
    /** The HTTP status, if an HTTP answer said it. */
    status: number | undefined;
    /** Whether the same may succeed later. */
    retryable: boolean;
    /** How long the server asks to wait. */
    retryAfterMs: number | undefined;
    /** The WebSocket close code, if that said it. */
    closeCode: number | undefined;
    /** What is wrong with which field of a request. */
    fields: {
        field: string;
        message: string;
    }[];
    /** For whoever looks into the server's log. */
    requestId: string | undefined;
    /** Of a message: whether it surely did not arrive. Only `expired` and `closed` leave it open. */
    certain: boolean | undefined;
    /** Of a message to all devices: whom it did not reach. */
    failed: {
        device_id: string;
        reason: string;
    }[];
}
/**
 * What a `StreamzError` may say beside its code.
 */
export type ErrorDetails = {
    /**
     * the HTTP status, if an HTTP answer said it
     */
    status?: number | undefined;
    /**
     * whether the same may succeed later
     */
    retryable?: boolean | undefined;
    /**
     * how long the server asks to wait
     */
    retryAfterMs?: number | undefined;
    /**
     * the WebSocket close code, if that said it
     */
    closeCode?: number | undefined;
    /**
     * what is wrong with which field
     */
    fields?: {
        field: string;
        message: string;
    }[] | undefined;
    /**
     * for whoever looks into the server's log
     */
    requestId?: string | undefined;
    /**
     * of a message: whether it surely did not arrive
     */
    certain?: boolean | undefined;
    /**
     * of a message to all: whom it did not reach
     */
    failed?: {
        device_id: string;
        reason: string;
    }[] | undefined;
    cause?: unknown;
};
