// What the tests' pages do, in the words of the tests.

import { Streamz, localStorageStorage } from "../../src/index.js";

const video = /** @type {HTMLVideoElement} */ (document.querySelector("#remote"));

/** @type {any} */
const app = {
  /** @type {import("../../src/index.js").Call | undefined} */
  call: undefined,
  /** @type {import("../../src/index.js").Call[]} */
  incoming: [],
  /** @type {string[]} */
  log: [],

  /** @param {{ url: string, account: { email: string, password: string }, device: string, maxStreams?: number }} parts */
  async start({ url, account, device, maxStreams }) {
    app.streamz = new Streamz(url, { storage: localStorageStorage() });
    if (!(await app.streamz.user())) await app.streamz.login(account);
    app.connection = await app.streamz.connect({ id: device, maxStreams });
    app.connection.on("incoming", (/** @type {any} */ call) => {
      app.incoming.push(call);
      app.told();
    });
    app.connection.on("ongoing", (/** @type {any} */ call) => {
      app.left = call;
      app.told();
    });
  },

  told() {},

  /** The next ring. */
  async ring() {
    while (app.incoming.length === 0) await new Promise((/** @type {(value: void) => void} */ resolve) => (app.told = resolve));
    return app.use(app.incoming.shift());
  },

  /** The call that the page before this one left. */
  async ongoing() {
    while (!app.left) await new Promise((/** @type {(value: void) => void} */ resolve) => (app.told = resolve));
    return app.use(app.left);
  },

  use(/** @type {any} */ call) {
    app.call = call;
    app.peers = 0;
    call.on("media", (/** @type {string} */ media) => app.log.push(media));
    return call;
  },

  camera: () => navigator.mediaDevices.getUserMedia({ video: { width: 160, height: 120 }, audio: true }),

  /** Plays what comes, until so many more frames were decoded. */
  async frames(count = 10) {
    const stream = app.call.remoteStream;
    if (video.srcObject !== stream) video.srcObject = stream;
    await video.play().catch(() => {});
    const start = app.decoded();
    await new Promise((/** @type {(value: void) => void} */ resolve) => {
      const look = () => (app.decoded() >= start + count ? resolve() : video.requestVideoFrameCallback(look));
      video.requestVideoFrameCallback(look);
    });
    return app.decoded() - start;
  },

  decoded: () => video.getVideoPlaybackQuality().totalVideoFrames,

  /** @param {string} name @param {(event: any) => boolean} [wanted] */
  next: (name, wanted) => app.call.once(name, wanted),

  /** The user fragment of our present ICE generation. */
  ufrag: () => /a=ice-ufrag:(\S+)/.exec(app.call.peerConnection.localDescription.sdp)?.[1],
};

Object.assign(globalThis, { app });
