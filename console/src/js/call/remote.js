// What the other side sends: a picture for each of its videos, and its sound.

import { h } from "../dom.js";

/** A picture fills its frame if no more than this share of a side is lost by it. */
const CROP_MAX = 0.25;

/**
 * @param {import("../../client/index.js").Call} call
 * @param {{ changed: (pictures: number) => void, blocked: (start: () => void) => void }} told
 */
export function remote(call, { changed, blocked }) {
  const element = h("div", { class: "remote" });
  /** @type {Map<MediaStreamTrack, HTMLAudioElement>} */
  const sounds = new Map();
  /** @type {Map<MediaStreamTrack, HTMLVideoElement>} */
  const pictures = new Map();

  const frame = new ResizeObserver(() => pictures.forEach(fit));

  /** Nothing of a screen is cut off, and not much of a person. @param {HTMLVideoElement} picture */
  function fit(picture) {
    const [own, whole] = [picture.videoWidth / picture.videoHeight, picture.clientWidth / picture.clientHeight];
    const kept = Math.min(own / whole, whole / own);
    picture.classList.toggle("cover", call.type !== "screen" && pictures.size === 1 && kept >= 1 - CROP_MAX);
  }

  function show() {
    const tracks = call.remoteTracks;
    for (const shown of [sounds, pictures]) {
      for (const [track, player] of shown) {
        if (tracks.includes(track)) continue;
        player.remove();
        shown.delete(track);
      }
    }
    for (const track of tracks) {
      if (sounds.has(track) || pictures.has(track)) continue;
      if (track.kind === "video") addPicture(track);
      else addSound(track);
      track.addEventListener("ended", show);
    }
    count();
  }

  /** @param {MediaStreamTrack} track */
  function addSound(track) {
    const sound = h("audio", { autoplay: true, class: "remote-sound" });
    sound.srcObject = new MediaStream([track]);
    sounds.set(track, sound);
    element.append(sound);
    // A page that nobody has tapped yet may not make a sound.
    sound.play().catch((error) => error.name === "NotAllowedError" && blocked(() => sounds.forEach((each) => void each.play())));
  }

  /** @param {MediaStreamTrack} track */
  function addPicture(track) {
    // Sound is played by elements of its own.
    const picture = h("video", { class: "remote-video", autoplay: true, playsinline: true, muted: true, aria: { label: "Picture of the other device" } });
    picture.srcObject = new MediaStream([track]);
    pictures.set(track, picture);
    element.append(picture);
    picture.addEventListener("resize", () => fit(picture));
    picture.addEventListener("loadedmetadata", () => fit(picture));
    // A picture that is sent no more is muted, and its last frame would stand for ever.
    track.addEventListener("mute", () => [(picture.hidden = picture.readyState >= 2), count()]);
    track.addEventListener("unmute", () => [(picture.hidden = false), count()]);
    picture.play().catch(() => {});
  }

  function count() {
    const seen = [...pictures.values()].filter(({ hidden }) => !hidden).length;
    element.dataset.pictures = String(seen);
    pictures.forEach(fit);
    changed(seen);
  }

  call.on("track", show);
  frame.observe(element);
  void call.ended.then(() => frame.disconnect());
  show();
  return { element };
}
