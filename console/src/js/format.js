// Times, rates and reasons, in words.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/** @param {string | number | Date} time */
export function clock(time) {
  return CLOCK.format(new Date(time));
}

/** @param {string} time @param {number} [now] */
export function day(time, now = Date.now()) {
  const date = new Date(time);
  const days = Math.round((midnight(now) - midnight(date)) / 86_400_000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return days < 300 ? DAY.format(date) : DAY_OF_YEAR.format(date);
}

function midnight(time) {
  return new Date(time).setHours(0, 0, 0, 0);
}

/** @param {string | null | undefined} time @param {number} [now] */
export function ago(time, now = Date.now()) {
  if (!time) return "Never seen";
  const seconds = Math.max(0, (now - new Date(time).getTime()) / 1000);
  if (seconds < 60) return "Seen just now";
  if (seconds < 3600) return `Seen ${count(Math.floor(seconds / 60), "minute")} ago`;
  if (seconds < 86_400) return `Seen ${count(Math.floor(seconds / 3600), "hour")} ago`;
  if (seconds < 7 * 86_400) return `Seen ${count(Math.floor(seconds / 86_400), "day")} ago`;
  return `Seen on ${DAY_OF_YEAR.format(new Date(time))}`;
}

/** @param {number} number @param {string} word */
export function count(number, word) {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** `1:05`, `1:02:03`. @param {number} ms */
export function duration(ms) {
  const all = Math.max(0, Math.floor(ms / 1000));
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const tail = String(seconds).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** @param {number} bits a second */
export function rate(bits) {
  if (bits >= 10_000_000) return `${Math.round(bits / 1_000_000)} Mbit/s`;
  if (bits >= 1_000_000) return `${(bits / 1_000_000).toFixed(1)} Mbit/s`;
  if (bits >= 1000) return `${Math.round(bits / 1000)} kbit/s`;
  return `${Math.round(bits)} bit/s`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes >= 1_048_576) return `${(bytes / 1_048_576).toFixed(1)} MB`;
  if (bytes >= 1024) return `${Math.round(bytes / 1024)} KB`;
  return count(bytes, "byte");
}

const KINDS = { video: "Video", both: "Video call", audio: "Audio call", screen: "Screen", data: "Messages" };
const KIND_ICONS = { video: "eye", both: "video", audio: "call", screen: "screen", data: "chat" };

/** @param {string} type a stream's type */
export const kindName = (type) => KINDS[type] ?? type;
/** @param {string} type */
export const kindIcon = (type) => KIND_ICONS[type] ?? "pulse";

const REASONS = {
  ended: "Ended",
  cancelled: "Cancelled",
  declined: "Declined",
  timeout: "No answer",
  busy: "Busy",
  offline: "Was offline",
  answered_elsewhere: "Answered on another device",
  device_lost: "Connection lost",
  device_removed: "Device removed",
  signed_out: "Signed out",
  server_restart: "Server restarted",
  media_failed: "No path for the media",
  lost: "Connection lost",
  closed: "Connection closed",
  replaced: "Opened elsewhere",
  unknown_device: "Device unknown",
  expired: "Not confirmed in time",
  unavailable: "Service unavailable",
  no_media: "No camera or microphone",
};

/** Why a call ended. A device's own word is shown as it is. @param {string | null | undefined} reason */
export function reasonText(reason) {
  if (!reason) return "Ended";
  return REASONS[reason] ?? reason.charAt(0).toUpperCase() + reason.slice(1).replaceAll("_", " ");
}
