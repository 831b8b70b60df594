// What this tab sends in its call, so that a reload of the page sends no more than that.

const KEY = "streamz.call";

/** What the person turned off. @typedef {{ audio: boolean, video: boolean }} Off */
/** @typedef {{ id: string, audio: boolean, video: boolean, off: Off, camera?: string }} Kept `camera`: its device id */

/**
 * @param {{ id: string | null }} call
 * @param {MediaStream} sent
 * @param {Off} off
 * @param {Pick<Storage, "setItem">} [storage]
 */
export function keep({ id }, sent, off, storage = sessionStorage) {
  // A ring that the server has not named yet ends with this page.
  if (id === null) return;
  const [picture] = sent.getVideoTracks();
  const kept = { id, audio: sent.getAudioTracks().length > 0, video: picture !== undefined, off, camera: picture?.getSettings().deviceId };
  storage.setItem(KEY, JSON.stringify(kept));
}

/** @param {{ id: string | null }} call @param {Pick<Storage, "getItem">} [storage] @returns {Kept | null} null: this tab was not in it */
export function recall({ id }, storage = sessionStorage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    if (typeof kept?.id !== "string" || kept.id !== id) return null;
    const off = { audio: kept.off?.audio === true, video: kept.off?.video === true };
    return { id, audio: kept.audio === true, video: kept.video === true, off, ...(typeof kept.camera === "string" && { camera: kept.camera }) };
  } catch {
    return null;
  }
}

export function forget(storage = sessionStorage) {
  storage.removeItem(KEY);
}
