// Which device this page is. Each tab of a browser is a device of its own: the first one is the browser itself, others
// get a number. A tab keeps its name through reloads, and two tabs never have the same one at once.

const SLOTS = 8;

/** @typedef {{ id: string, name: string, type: string, slot: number }} Identity */

/** What a browser says of the machine it runs on, in words that its owner would use. */
export function describe(agent = navigator.userAgent, touches = navigator.maxTouchPoints ?? 0) {
  const browser = /Edg\//.test(agent) ? "Edge" : /OPR\//.test(agent) ? "Opera" : /Firefox\//.test(agent) ? "Firefox"
    : /Chrome\/|CriOS\//.test(agent) ? "Chrome" : /Safari\//.test(agent) ? "Safari" : "Browser";
  // An iPad says that it is a Mac.
  const pad = /iPad/.test(agent) || (/Macintosh/.test(agent) && touches > 1);
  if (/iPhone/.test(agent)) return { name: "iPhone", type: "phone" };
  if (pad) return { name: "iPad", type: "tablet" };
  if (/TV|SmartTV|Tizen|Web0S/i.test(agent)) return { name: "Television", type: "tv" };
  if (/Android/.test(agent)) {
    return /Mobile/.test(agent) ? { name: "Android phone", type: "phone" } : { name: "Android tablet", type: "tablet" };
  }
  const system = /Macintosh/.test(agent) ? "Mac" : /Windows/.test(agent) ? "Windows" : /CrOS/.test(agent) ? "Chromebook" : "Linux";
  return { name: `${browser} on ${system}`, type: system === "Mac" || system === "Chromebook" ? "laptop" : "desktop" };
}

/** The slot that this page holds: it is let go when the page goes. @type {number | undefined} */
let held;

/** Takes a name that no other tab has. @returns {Promise<Identity>} */
export async function takeIdentity() {
  held ??= await takeSlot();
  sessionStorage.setItem("streamz.slot", String(held));
  return read(held);
}

async function takeSlot() {
  const own = Number(sessionStorage.getItem("streamz.slot") ?? -1);
  const order = [...Array(SLOTS).keys()].filter((slot) => slot !== own);
  // After a reload, the page before this one may still hold its name for a moment.
  if (own >= 0 && (await take(own, 800))) return own;
  return (await firstFree(order)) ?? order[0];
}

/** @param {Identity} identity what is to be known of this device from now on */
export function keepIdentity({ slot, id, name, type }) {
  localStorage.setItem(`streamz.device.${slot}`, JSON.stringify({ id, name, type }));
}

/** A device that was removed comes back as a new one. @param {Identity} identity */
export function renewIdentity(identity) {
  const renewed = { ...identity, id: newId() };
  keepIdentity(renewed);
  return renewed;
}

function read(slot) {
  try {
    const kept = JSON.parse(localStorage.getItem(`streamz.device.${slot}`) ?? "null");
    if (typeof kept?.id === "string") return { ...kept, slot };
  } catch {
    // Written by something else.
  }
  const { name, type } = describe();
  const made = { id: newId(), name: slot === 0 ? name : `${name} (tab ${slot + 1})`, type, slot };
  keepIdentity(made);
  return made;
}

function newId() {
  // `crypto.randomUUID` is for secure pages only.
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function firstFree(slots) {
  for (const slot of slots) if (await take(slot, 0)) return slot;
  return undefined;
}

/** Holds a name until the page goes. Without locks (a page that is not secure), every tab is the same device. */
function take(slot, patience) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const options = patience > 0 ? { signal: AbortSignal.timeout(patience) } : { ifAvailable: true };
    const hold = (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    };
    navigator.locks.request(`streamz.device.${slot}`, options, hold).catch(() => resolve(false));
  });
}
