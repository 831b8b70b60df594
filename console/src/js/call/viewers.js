// Those that watch this device's camera without a ring: several at once, all from one picture, and none fills the page.

import * as media from "../media.js";
import { chime } from "../sound.js";

/** So many at a time. */
export const VIEWERS_MAX = 4;

/** @typedef {import("../../client/index.js").Call} Call */

/**
 * @param {object} told
 * @param {(calls: Call[]) => void} told.changed who watches did
 * @param {(call: Call) => void} told.joined
 * @param {(error: any) => void} told.failed there is no picture to give
 * @param {() => void} told.over a call is
 */
export function viewers({ changed, joined, failed, over }) {
  /** @type {Set<Call>} */
  const calls = new Set();
  /** Those of them that have the picture. @type {Set<Call>} */
  const shown = new Set();
  /** One capture for all of them. @type {Promise<MediaStream> | null} */
  let picture = null;

  function capture() {
    const opened = media.picture();
    picture = opened;
    opened.then((stream) => stream.getVideoTracks()[0].addEventListener("ended", () => picture === opened && stop("no_media")), () => {
      if (picture === opened) picture = null;
    });
    return opened;
  }

  /** @param {Call} call */
  async function serve(call) {
    if (calls.size >= VIEWERS_MAX) return call.decline("busy");
    calls.add(call);
    void call.ended.then(() => leave(call));
    try {
      const stream = await (picture ?? capture());
      // Somebody else may still watch: then the picture goes on.
      if (call.state === "ended") return;
      call.accept(stream).catch(() => {
        // It is over, and told as such.
      });
      chime(true);
      shown.add(call);
      changed(watching());
      joined(call);
    } catch (error) {
      if (call.state === "ended") return;
      failed(error);
      call.decline("no_media");
    }
  }

  /** @param {Call} call */
  function leave(call) {
    calls.delete(call);
    shown.delete(call);
    if (calls.size === 0) {
      picture?.then(media.stop, () => {});
      picture = null;
    }
    changed(watching());
    over();
  }

  /** @param {string} [reason] */
  function stop(reason) {
    for (const call of calls) call.end(reason);
  }

  const watching = () => [...shown].filter(({ state }) => state !== "ended");

  return { serve, stop, watching };
}
