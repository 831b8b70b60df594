// What is read of a session description. All else in it is the browser's business.

/**
 * Which peer connection wrote it (RFC 8866 section 5.2: user name, session id, without the version). A description of
 * another origin means that the other side began anew: its page was reloaded, its program restarted.
 * @param {string} sdp
 */
export function originOf(sdp) {
  const [, name, session] = /^o=(\S+) (\S+)/m.exec(sdp) ?? [];
  return session === undefined ? "" : `${name} ${session}`;
}

/**
 * Which of that connection's descriptions it is: candidates are added to a description, this line stays.
 * @param {string | undefined} sdp
 */
export function versionOf(sdp) {
  return /^o=.*$/m.exec(sdp ?? "")?.[0];
}

/**
 * What kinds of media a stream of this type needs.
 * @param {import("../wire.js").StreamType} type
 * @returns {("video" | "audio")[]}
 */
export function kindsOf(type) {
  switch (type) {
    case "audio":
      return ["audio"];
    case "both":
      return ["video", "audio"];
    case "data":
      return [];
    default:
      return ["video"];
  }
}

/**
 * The type that fits what is sent, as far as tracks can tell.
 * @param {MediaStream | null} media
 * @returns {import("../wire.js").StreamType}
 */
export function typeOf(media) {
  const video = (media?.getVideoTracks().length ?? 0) > 0;
  const audio = (media?.getAudioTracks().length ?? 0) > 0;
  if (video) return audio ? "both" : "video";
  return audio ? "audio" : "data";
}
