/** The tracks of the other side. */
export class Received {
    /** @param {typeof MediaStream | undefined} MediaStream */
    constructor(MediaStream: typeof globalThis.MediaStream | undefined);
    /** The first picture and the first sound. @type {MediaStream} */
    stream: MediaStream;
    /** All of them, in the order in which they came. */
    get tracks(): MediaStreamTrack[];
    /** @param {MediaStreamTrack} track */
    add(track: MediaStreamTrack): void;
    #private;
}
