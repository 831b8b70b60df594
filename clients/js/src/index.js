// What the package offers. Types that are only named in comments are offered too.

export { Call } from "./call/call.js";
export { Connection } from "./connection.js";
export { StreamzError } from "./errors.js";
export { localStorageStorage, memoryStorage } from "./storage.js";
export { Streamz } from "./streamz.js";

/** @typedef {import("./wire.js").Device} Device */
/** @typedef {import("./wire.js").StreamRecord} StreamRecord */
/** @typedef {import("./wire.js").StreamType} StreamType */
/** @typedef {import("./wire.js").IceServer} IceServer */
/** @typedef {import("./wire.js").User} User */
/** @typedef {import("./wire.js").Session} Session */
/** @typedef {import("./wire.js").Frame} Frame */
/** @typedef {import("./wire.js").Message} Message */
/** @typedef {import("./roster.js").KnownDevice} KnownDevice */
/** @typedef {import("./storage.js").SignIn} SignIn */
/** @typedef {import("./storage.js").TokenStorage} TokenStorage */
/** @typedef {import("./streamz.js").StreamzOptions} StreamzOptions */
/** @typedef {import("./streamz.js").ThisDevice} ThisDevice */
/** @typedef {import("./connection.js").ConnectionState} ConnectionState */
/** @typedef {import("./call/calls.js").StreamOptions} StreamOptions */
/** @typedef {import("./call/types.js").MediaState} MediaState */
/** @typedef {import("./call/stats.js").CallStats} CallStats */
