// Ringing, made of two sines: nothing to load. Browsers are silent before the first tap on the page.

/** @type {AudioContext | undefined} */
let context;

function audio() {
  context ??= new AudioContext();
  if (context.state === "suspended") context.resume().catch(() => {});
  return context;
}

/** Called at the first tap, so that a ring that comes later may be heard. */
export function unlock() {
  if (typeof AudioContext === "function") audio();
}

/**
 * Rings until the returned function is called.
 * @param {"incoming" | "outgoing"} kind
 */
export function ring(kind) {
  if (typeof AudioContext !== "function" || (!context && !navigator.userActivation?.hasBeenActive)) return () => {};
  const notes = kind === "incoming" ? [[659, 0], [880, 0.18], [659, 0.5], [880, 0.68]] : [[440, 0], [440, 0.02]];
  const every = kind === "incoming" ? 2_600 : 3_600;
  const round = () => {
    for (const [hertz, at] of notes) tone(hertz, at, kind === "incoming" ? 0.16 : 0.9, kind === "incoming" ? 0.14 : 0.035);
    if (kind === "incoming") navigator.vibrate?.([220, 120, 220]);
  };
  round();
  const timer = setInterval(round, every);
  return () => {
    clearInterval(timer);
    if (kind === "incoming") navigator.vibrate?.(0);
  };
}

/** One soft note: connected, or over. @param {boolean} up */
export function chime(up) {
  if (!context) return;
  tone(up ? 587 : 494, 0, 0.14, 0.06);
  tone(up ? 784 : 392, 0.12, 0.2, 0.06);
}

function tone(hertz, after, length, loud) {
  const now = audio();
  if (now.state !== "running") return;
  const at = now.currentTime + after;
  const [wave, volume] = [now.createOscillator(), now.createGain()];
  wave.frequency.value = hertz;
  // Without a soft beginning and end, it clicks.
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(loud, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.0001, at + length);
  wave.connect(volume).connect(now.destination);
  wave.start(at);
  wave.stop(at + length + 0.05);
}
