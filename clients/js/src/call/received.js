/** The tracks of the other side. */
export class Received {
  /** @type {MediaStreamTrack[]} */
  #tracks = [];

  /** @param {typeof MediaStream | undefined} MediaStream */
  constructor(MediaStream) {
    /** The first picture and the first sound. @type {MediaStream} */
    this.stream = MediaStream ? new MediaStream() : /** @type {any} */ (null);
  }

  /** All of them, in the order in which they came. */
  get tracks() {
    return this.#tracks.filter(isLive);
  }

  /** @param {MediaStreamTrack} track */
  add(track) {
    this.#tracks = [...new Set([...this.tracks, track])];
    // Of a connection that was replaced: its tracks will never say anything again.
    for (const old of this.stream.getTracks()) if (!isLive(old)) this.stream.removeTrack(old);
    // An element shows one picture, and which of two is up to the browser.
    if (!this.stream.getTracks().some(({ kind }) => kind === track.kind)) this.stream.addTrack(track);
    track.addEventListener("ended", () => this.#ended(track), { once: true });
  }

  /** The next one takes its place. @param {MediaStreamTrack} track */
  #ended(track) {
    if (!this.stream.getTracks().includes(track)) return;
    this.stream.removeTrack(track);
    const next = this.tracks.find(({ kind }) => kind === track.kind);
    if (next) this.stream.addTrack(next);
  }
}

/** @param {MediaStreamTrack} track */
function isLive(track) {
  return track.readyState !== "ended";
}
