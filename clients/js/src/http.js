import { StreamzError, noAnswer, problem } from "./errors.js";

/** How long a request may take. */
const TIMEOUT_MS = 30_000;

/**
 * @typedef {object} RequestOptions
 * @property {string} [token]
 * @property {unknown} [body] sent as JSON
 * @property {Record<string, string | number | boolean | undefined>} [query]
 */

/** A server's HTTP API: one method per request, errors typed. */
export class Http {
  /**
   * @param {string | URL} url where the server is: `https://streamz.example.org`
   * @param {typeof fetch} [fetcher]
   */
  constructor(url, fetcher = globalThis.fetch) {
    this.base = parseBase(url);
    // A method of `window` must be called as one.
    this.fetch = (/** @type {string} */ to, /** @type {RequestInit} */ init) => fetcher(to, init);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {RequestOptions} [options]
   * @returns {Promise<any>} the parsed body; nothing for 204
   * @throws {StreamzError}
   */
  async request(method, path, { token, body, query } = {}) {
    const url = new URL(this.base.pathname.replace(/\/$/, "") + path, this.base);
    for (const [name, value] of Object.entries(query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    /** @type {Record<string, string>} */
    const headers = { accept: "application/json" };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const text = body === undefined ? null : JSON.stringify(body);
    /** @type {Response} */
    let response;
    /** @type {string} */
    let answer;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      response = await this.fetch(url.href, { method, headers, body: text, signal, credentials: "omit", cache: "no-store" });
      answer = await response.text();
    } catch (error) {
      throw noAnswer(error);
    }
    const parsed = parse(answer);
    if (!response.ok) throw problem(response.status, parsed, response.headers.get("retry-after"));
    if (parsed === undefined && response.status !== 204) {
      throw new StreamzError("network", "The answer is not JSON: something else answers at this address.", {
        status: response.status,
        retryable: true,
      });
    }
    return parsed;
  }

  /**
   * Where devices connect.
   * @param {Record<string, string | number | undefined>} query
   */
  socketUrl(query) {
    const url = new URL(this.base.pathname.replace(/\/$/, "") + "/ws", this.base);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    return url.href;
  }
}

/** @param {string | URL} url */
function parseBase(url) {
  /** @type {URL} */
  let base;
  try {
    base = new URL(url, /** @type {any} */ (globalThis).location?.href);
  } catch (cause) {
    throw new StreamzError("invalid_url", `Not the URL of a server: ${url}`, { cause });
  }
  if (!/^https?:$/.test(base.protocol)) {
    throw new StreamzError("invalid_url", `The URL of a server begins with https:// or http://, not ${base.protocol}//`);
  }
  base.hash = base.search = "";
  return base;
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
