// Camera, microphone and screen, and what to say when there is none.

/** Pages that are not secure have none of this. */
export const canCapture = () => Boolean(navigator.mediaDevices?.getUserMedia);
export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

const VIDEO = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const AUDIO = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Camera and microphone; only one of them, where there is only one. @returns {Promise<MediaStream>} */
export async function camera() {
  try {
    return await devices({ video: VIDEO, audio: AUDIO });
  } catch (error) {
    if (error.name !== "NotFoundError" && error.name !== "OverconstrainedError") throw error;
    return devices({ video: VIDEO }).catch(() => devices({ audio: AUDIO }));
  }
}

/** @returns {Promise<MediaStream>} */
export const microphone = () => devices({ audio: AUDIO });

/** The camera without sound. @returns {Promise<MediaStream>} */
export const picture = () => devices({ video: VIDEO });

/** A screen, a window or a tab. @returns {Promise<MediaStream>} */
export function screen() {
  if (!canShareScreen()) throw new DOMException("no screen capture", "NotSupportedError");
  return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
}

/** The camera after this one, on devices that have several. @param {MediaStreamTrack} track */
export async function nextCamera(track) {
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  const at = cameras.findIndex(({ deviceId }) => deviceId === track.getSettings().deviceId);
  const next = cameras[(at + 1) % cameras.length];
  const stream = await devices({ video: { ...VIDEO, deviceId: { exact: next.deviceId } } });
  return stream.getVideoTracks()[0];
}

export async function hasSeveralCameras() {
  if (!canCapture()) return false;
  const all = await navigator.mediaDevices.enumerateDevices();
  return all.filter(({ kind }) => kind === "videoinput").length > 1;
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
