import { StreamzError } from "../errors.js";

/** The tracks that this side sends, with their streams. */
export class Sent {
  /** @type {Map<MediaStreamTrack, MediaStream[]>} */
  tracks = new Map();
  /** What is sent as silence or black. @type {Set<string>} */
  #muted = new Set();

  /** @param {MediaStream | null} media */
  take(media) {
    for (const track of media?.getTracks() ?? []) this.add(track, [/** @type {MediaStream} */ (media)]);
  }

  /** @param {MediaStreamTrack} track @param {MediaStream[]} streams */
  add(track, streams) {
    if (this.#muted.has(track.kind)) track.enabled = false;
    this.tracks.set(track, streams);
  }

  /** @param {MediaStreamTrack} track */
  remove(track) {
    this.tracks.delete(track);
  }

  /** @param {MediaStreamTrack} track @param {MediaStreamTrack} by @param {() => Promise<void> | undefined} change */
  async replace(track, by, change) {
    const streams = this.tracks.get(track);
    if (!streams) throw new StreamzError("unknown_track", "This track is not sent in this call.");
    // Before anything of it is sent.
    if (this.#muted.has(by.kind)) by.enabled = false;
    await change();
    this.remove(track);
    this.add(by, streams);
  }

  /** @param {string} kind @param {boolean} muted */
  mute(kind, muted) {
    if (muted) this.#muted.add(kind);
    else this.#muted.delete(kind);
    for (const track of this.tracks.keys()) if (track.kind === kind) track.enabled = !muted;
  }
}
