/**
 * Which peer connection wrote it (RFC 8866 section 5.2: user name, session id, without the version). A description of
 * another origin means that the other side began anew: its page was reloaded, its program restarted.
 * @param {string} sdp
 */
export function originOf(sdp: string): string;
/**
 * Which of that connection's descriptions it is: candidates are added to a description, this line stays.
 * @param {string | undefined} sdp
 */
export function versionOf(sdp: string | undefined): string | undefined;
/**
 * What kinds of media a stream of this type needs.
 * @param {import("../wire.js").StreamType} type
 * @returns {("video" | "audio")[]}
 */
export function kindsOf(type: import("../wire.js").StreamType): ("video" | "audio")[];
/**
 * The type that fits what is sent, as far as tracks can tell.
 * @param {MediaStream | null} media
 * @returns {import("../wire.js").StreamType}
 */
export function typeOf(media: MediaStream | null): import("../wire.js").StreamType;
