/** The tracks that this side sends, with their streams. */
export class Sent {
    /** @type {Map<MediaStreamTrack, MediaStream[]>} */
    tracks: Map<MediaStreamTrack, MediaStream[]>;
    /** @param {MediaStream | null} media */
    take(media: MediaStream | null): void;
    /** @param {MediaStreamTrack} track @param {MediaStream[]} streams */
    add(track: MediaStreamTrack, streams: MediaStream[]): void;
    /** @param {MediaStreamTrack} track */
    remove(track: MediaStreamTrack): void;
    /** @param {MediaStreamTrack} track @param {MediaStreamTrack} by @param {() => Promise<void> | undefined} change */
    replace(track: MediaStreamTrack, by: MediaStreamTrack, change: () => Promise<void> | undefined): Promise<void>;
    /** @param {string} kind @param {boolean} muted */
    mute(kind: string, muted: boolean): void;
    #private;
}
