export { Streamz } from "./streamz.js";
export { Connection } from "./connection.js";
export { Call } from "./call/call.js";
export { StreamzError } from "./errors.js";
export { memoryStorage, localStorageStorage } from "./storage.js";
export { Session } from "./session.js";
