// How much may wait to be sent.

/**
 * Resolves once no more than so many bytes wait; rejects if the channel closes, which empties nothing.
 * @param {RTCDataChannel} channel its low threshold is below `limit`
 * @param {number} limit
 * @returns {Promise<void>}
 */
export async function room(channel, limit) {
  while (channel.bufferedAmount > limit) {
    await new Promise((resolve, reject) => {
      const over = () => settle(() => reject(new Error("The channel was closed.")));
      const low = () => settle(() => resolve(undefined));
      const settle = (then) => {
        for (const [name, listener] of listeners) channel.removeEventListener(name, listener);
        then();
      };
      const listeners = [["bufferedamountlow", low], ["closing", over], ["close", over], ["error", over]];
      for (const [name, listener] of listeners) channel.addEventListener(name, listener);
      // It is not said twice.
      if (channel.readyState !== "open") over();
    });
  }
}
