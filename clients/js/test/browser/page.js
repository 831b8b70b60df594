// What the tests' pages do, in the words of the tests.

import { Streamz, localStorageStorage } from "../../src/index.js";

const video = /** @type {HTMLVideoElement} */ (document.querySelector("#remote"));

/** What is muted has no energy in the statistics. */
const ear = new Audio();

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

  /** Waits for a frame whose colour, of all of it together, is such. @param {(rgb: number[]) => boolean} wanted */
  async colour(wanted) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    for (;;) {
      await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
      context.drawImage(video, 0, 0, 1, 1);
      const [...rgb] = context.getImageData(0, 0, 1, 1).data.slice(0, 3);
      if (wanted(rgb)) return rgb;
    }
  },

  /** Waits for a second of sound of the other side that is loud, or still. @param {boolean} loud */
  async sound(loud) {
    if (ear.srcObject !== app.call.remoteStream) ear.srcObject = app.call.remoteStream;
    await ear.play();
    const read = async () => {
      const report = [...(await app.call.peerConnection.getStats()).values()];
      return report.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
    };
    for (let before = await read(), now = before; ; now = await read()) {
      if (now.totalSamplesDuration < before.totalSamplesDuration + 1) continue;
      if (now.totalAudioEnergy - before.totalAudioEnergy > 1e-6 === loud) return;
      before = now;
    }
  },

  /** What the present path is made of: the kinds of our and of their candidate, and the protocol to the relay. */
  async path() {
    const report = await app.call.peerConnection.getStats();
    const transport = [...report.values()].find(({ type, selectedCandidatePairId }) => type === "transport" && selectedCandidatePairId);
    const pair = report.get(transport?.selectedCandidatePairId);
    const [local, remote] = [report.get(pair?.localCandidateId), report.get(pair?.remoteCandidateId)];
    return { local: local?.candidateType, remote: remote?.candidateType, port: local?.port, protocol: local?.relayProtocol };
  },

  /** A picture that moves, as a screen does. */
  async drawing() {
    const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const paint = () => {
      context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
      context.fillRect(Math.random() * 300, 0, 20, 180);
      requestAnimationFrame(paint);
    };
    paint();
    return canvas.captureStream(15);
  },

  /** The frames that were decoded of each picture of the other side. */
  async pictures() {
    const report = [...(await app.call.peerConnection.getStats()).values()];
    const inbound = report.filter(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    return Object.fromEntries(inbound.map(({ trackIdentifier, framesDecoded }) => [trackIdentifier, framesDecoded]));
  },

  /** @param {string} name @param {(event: any) => boolean} [wanted] */
  next: (name, wanted) => app.call.once(name, wanted),

  /** The user fragment of our present ICE generation. */
  ufrag: () => /a=ice-ufrag:(\S+)/.exec(app.call.peerConnection.localDescription.sdp)?.[1],
};

Object.assign(globalThis, { app });
