/**
 * @typedef {object} SocketListener
 * @property {() => void} open
 * @property {(data: unknown) => void} message
 * @property {(code: number, reason: string) => void} close told once, also when it could not be opened
 */

/** One WebSocket whose listener can be taken away: what a connection that was given up says later is of no interest. */
export class Socket {
  /** @type {any} */
  #socket;
  /** @type {SocketListener | undefined} */
  #listener;

  /**
   * @param {any} WebSocketClass
   * @param {string} url
   * @param {string[]} protocols
   * @param {SocketListener} listener
   */
  constructor(WebSocketClass, url, protocols, listener) {
    this.#listener = listener;
    this.#socket = new WebSocketClass(url, protocols);
    this.#socket.onopen = () => this.#listener?.open();
    this.#socket.onmessage = (/** @type {{ data: unknown }} */ { data }) => this.#listener?.message(data);
    // An error says nothing that the close that follows it does not. Without a listener, `ws` would throw it.
    this.#socket.onerror = () => {};
    this.#socket.onclose = (/** @type {{ code: number, reason: string }} */ { code, reason }) => {
      const told = this.#listener;
      this.#listener = undefined;
      told?.close(code, reason);
    };
  }

  /** @param {string} text */
  send(text) {
    // A socket that is closing drops what it is given; the session sends it again on the next one.
    if (this.#socket.readyState === 1) this.#socket.send(text);
  }

  /** Hears no more from it. It stays open, so that the server does not see a device that says goodbye. */
  detach() {
    this.#listener = undefined;
  }

  /** Says goodbye. */
  close() {
    this.detach();
    this.#socket.close(1000);
  }
}
