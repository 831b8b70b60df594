// Camera, microphone and screen, and what to say when there is none.

/** Pages that are not secure have none of this. */
export const canCapture = () => Boolean(navigator.mediaDevices?.getUserMedia);
export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Camera and microphone; only one of them, where there is only one. @returns {Promise<MediaStream>} */
export const camera = () => both(VIDEO);

async function both(video) {
  try {
    return await devices({ video, audio: AUDIO });
  } catch (error) {
    if (error.name !== "NotFoundError" && error.name !== "OverconstrainedError") throw error;
    return devices({ video }).catch(() => devices({ audio: AUDIO }));
  }
}

/** @returns {Promise<MediaStream>} */
export const microphone = () => devices({ audio: AUDIO });

/** The camera without sound. @returns {Promise<MediaStream>} */
export const picture = () => devices({ video: VIDEO });

/**
 * What was sent before the page was loaded anew, and nothing else; undefined if that was nothing.
 * @param {import("./call/memory.js").Kept} kept
 * @returns {(() => Promise<MediaStream>) | undefined}
 */
export function again({ audio, video, camera: id }) {
  const same = { ...VIDEO, ...(id && { deviceId: { ideal: id } }) };
  if (video) return () => (audio ? both(same) : devices({ video: same }));
  return audio ? microphone : undefined;
}

/** A screen, a window or a tab. @returns {Promise<MediaStream>} */
export function screen() {
  if (!canShareScreen()) throw new DOMException("no screen capture", "NotSupportedError");
  return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
}

/** This camera. @param {string} id @returns {Promise<MediaStreamTrack>} */
export async function cameraOf(id) {
  const stream = await devices({ video: { ...VIDEO, deviceId: { exact: id } } });
  return stream.getVideoTracks()[0];
}

/** The ids of this device's cameras. @returns {Promise<string[]>} */
export async function cameras() {
  if (!canCapture()) return [];
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter(({ kind }) => kind === "videoinput").map(({ deviceId }) => deviceId);
}

/** Lights out. @param {MediaStream | null | undefined} stream */
export function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

async function devices(constraints) {
  if (!canCapture()) throw new DOMException("not a secure page", "SecurityError");
  return navigator.mediaDevices.getUserMedia(constraints);
}

/** What a person can do about it; nothing, if it was their own decision. @param {any} error */
export function explain(error) {
  switch (error?.name) {
    case "NotAllowedError":
      return "The browser did not allow it. Allow camera and microphone for this page, then try again.";
    case "NotFoundError":
      return "There is no camera or microphone on this device.";
    case "NotReadableError":
      return "Another program is using the camera or microphone.";
    case "SecurityError":
      return "Browsers give camera and microphone to secure pages only: open Streamz over https, or on this computer as localhost.";
    case "NotSupportedError":
      return "This browser cannot share a screen.";
    default:
      return error?.message || "That did not work.";
  }
}
