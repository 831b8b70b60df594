/** @typedef {object} StreamOptions */
export class Calls {
  /** @param {any} parts */
  constructor(parts) { this.parts = parts; /** @type {any[]} */ this.all = []; }
  /** @param {any} to @param {any} media @param {any} options @returns {any} */
  start(to, media, options) {}
  endAll() {}
  renewIceServers() {}
  networkChanged() {}
  /** @param {any} welcome */
  welcome(welcome) {}
  /** @param {any} frame */
  presence(frame) {}
  /** @param {any} frame */
  handle(frame) { return false; }
  /** @param {any} error */
  connectionClosed(error) {}
}
