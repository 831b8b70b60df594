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
    constructor(url: string | URL, fetcher?: typeof fetch);
    base: URL;
    fetch: (to: string, init: RequestInit) => Promise<Response>;
    /**
     * @param {string} method
     * @param {string} path
     * @param {RequestOptions} [options]
     * @returns {Promise<any>} the parsed body; nothing for 204
     * @throws {StreamzError}
     */
    request(method: string, path: string, { token, body, query }?: RequestOptions): Promise<any>;
    /**
     * Where devices connect.
     * @param {Record<string, string | number | undefined>} query
     */
    socketUrl(query: Record<string, string | number | undefined>): string;
}
export type RequestOptions = {
    token?: string | undefined;
    /**
     * sent as JSON
     */
    body?: unknown;
    query?: Record<string, string | number | boolean | undefined> | undefined;
};
