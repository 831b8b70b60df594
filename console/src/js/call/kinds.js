// What kinds of calls there are: what is sent, what is said of them. Without I/O.

/** @typedef {"camera" | "audio" | "screen" | "data" | "pull" | "shared" | "watch"} Kind */

/**
 * What a call is for this device. `pull` asks for the other's picture, `shared` is asked for it, `watch` is shown
 * something and sends nothing.
 * @param {{ type: string, direction: string, sourceId: string }} call
 * @param {string} me
 * @returns {Kind}
 */
export function kindOf({ type, direction, sourceId }, me) {
  if (type === "data") return "data";
  if (type === "both" && sourceId !== me && direction === "outgoing") return "pull";
  if (type === "both") return "camera";
  if (type === "audio") return "audio";
  if (type === "screen") return sourceId === me ? "screen" : "watch";
  if (direction === "outgoing") return sourceId === me ? "camera" : "pull";
  return sourceId === me ? "shared" : "watch";
}

/** The protocol's options for a kind that is started here. @param {string} kind */
export function optionsOf(kind) {
  switch (kind) {
    case "pull":
      return { pull: true, type: "video" };
    case "screen":
      return { type: "screen" };
    case "data":
      return { type: "data" };
    default:
      // As the tracks say.
      return {};
  }
}

/** @param {Kind} kind @param {string} type @param {string} name of the device that rings */
export function ringText(kind, type, name) {
  switch (kind) {
    case "camera":
      return { title: name, text: "Video call", accept: "Accept", icon: "video" };
    case "audio":
      return { title: name, text: "Audio call", accept: "Accept", icon: "call" };
    case "data":
      return { title: name, text: "Wants to send messages and files", accept: "Open", icon: "chat" };
    case "shared":
      return { title: name, text: "Asks for the picture of this device's camera", accept: "Share camera", icon: "eye" };
    default:
      return { title: name, text: type === "screen" ? "Wants to show its screen" : "Wants to show its camera", accept: "Watch", icon: "eye" };
  }
}

/** @param {Kind} kind */
export function callTitle(kind) {
  const titles = { camera: "Video call", audio: "Audio call", screen: "You share your screen", data: "Messages", pull: "Picture", shared: "You share your camera", watch: "Watching" };
  return titles[kind];
}
