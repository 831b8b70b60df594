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
  constructor(code, message, details = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "StreamzError";
    this.code = code;
    /** The HTTP status, if an HTTP answer said it. */
    this.status = details.status;
    /** Whether the same may succeed later. */
    this.retryable = details.retryable ?? false;
    /** How long the server asks to wait. */
    this.retryAfterMs = details.retryAfterMs;
    /** The WebSocket close code, if that said it. */
    this.closeCode = details.closeCode;
    /** What is wrong with which field of a request. */
    this.fields = details.fields ?? [];
    /** For whoever looks into the server's log. */
    this.requestId = details.requestId;
    /** Of a message: whether it surely did not arrive. Only `expired` and `closed` leave it open. */
    this.certain = details.certain;
    /** Of a message to all devices: whom it did not reach. */
    this.failed = details.failed ?? [];
  }
}

/** Statuses after which the same request may succeed. */
const LATER = new Set([408, 425, 429]);

/**
 * The error that an HTTP answer means. What is not a problem (RFC 9457) came from something in between.
 * @param {number} status
 * @param {any} body the parsed JSON, or nothing
 * @param {string | null} [retryAfter] the header
 * @param {number} [now] for a `Retry-After` that is a date
 */
export function problem(status, body, retryAfter, now = Date.now()) {
  const said = typeof body === "object" && body !== null ? body : {};
  const ours = typeof said.code === "string" && said.code !== "";
  const code = ours ? said.code : `http_${status}`;
  const text = said.detail || said.title || `The server answered with HTTP status ${status}.`;
  return new StreamzError(code, String(text), {
    status,
    // A captive portal, or a load balancer without a server behind it, will not be there for ever.
    retryable: status >= 500 || LATER.has(status) || !ours,
    retryAfterMs: readRetryAfter(retryAfter, now),
    fields: Array.isArray(said.errors) ? said.errors : [],
    requestId: typeof said.request_id === "string" ? said.request_id : undefined,
  });
}

/**
 * Seconds, or a date (RFC 9110 section 10.2.3).
 * @param {string | null | undefined} header
 * @param {number} now
 * @returns {number | undefined}
 */
export function readRetryAfter(header, now) {
  const text = header?.trim();
  if (!text) return undefined;
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/**
 * The error that a request without an answer means.
 * @param {unknown} cause
 */
export function noAnswer(cause) {
  const timedOut = cause instanceof Error && cause.name === "TimeoutError";
  const text = timedOut ? "The server did not answer in time." : "The server could not be reached.";
  return new StreamzError("network", text, { retryable: true, cause });
}
