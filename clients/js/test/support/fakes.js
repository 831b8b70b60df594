// Time, sockets and servers that do as they are told.

/** A clock that moves when the test says so. */
export class FakeClock {
  #now = 1_000_000;
  /** @type {{ at: number, call: () => void }[]} */
  #alarms = [];
  /** @type {(() => void)[]} */
  #deferred = [];

  now = () => this.#now;

  /** @param {number} at @param {() => void} call */
  alarm = (at, call) => {
    const alarm = { at, call };
    this.#alarms.push(alarm);
    return () => {
      this.#alarms = this.#alarms.filter((other) => other !== alarm);
    };
  };

  /** @param {() => void} call */
  defer = (call) => void this.#deferred.push(call);

  /** What was deferred happens. */
  settle() {
    for (const call of this.#deferred.splice(0)) call();
  }

  /** Time passes, alarm by alarm. @param {number} ms */
  advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#alarms.filter((alarm) => alarm.at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#now = Math.max(this.#now, next.at);
      this.#alarms = this.#alarms.filter((other) => other !== next);
      next.call();
    }
    this.#now = end;
    this.settle();
  }

  /** The machine sleeps: time passes, and no alarm rings until it wakes. @param {number} ms */
  sleep(ms) {
    this.#now += ms;
    this.advance(0);
  }

  get alarms() {
    return this.#alarms.map(({ at }) => at - this.#now);
  }
}

/** A WebSocket class whose sockets the test holds in its hands. */
export function fakeSockets() {
  /** @type {FakeSocket[]} */
  const sockets = [];
  class FakeSocket {
    readyState = 0;
    /** @type {any[]} */
    sent = [];
    /** @type {number | undefined} */
    closedWith = undefined;
    onopen = () => {};
    onmessage = (/** @type {{ data: unknown }} */ _event) => {};
    onclose = (/** @type {{ code: number, reason: string }} */ _event) => {};

    /** @param {string} url @param {string[]} protocols */
    constructor(url, protocols) {
      this.url = new URL(url);
      this.protocols = protocols;
      sockets.push(this);
    }

    /** @param {string} text */
    send(text) {
      this.sent.push(JSON.parse(text));
    }

    /** @param {number} code */
    close(code) {
      this.closedWith = code;
      this.readyState = 3;
    }

    /** @param {unknown} frame */
    says(frame) {
      this.onmessage({ data: JSON.stringify(frame) });
    }

    /** @param {Record<string, unknown>} [welcome] */
    welcomes(welcome = {}) {
      this.readyState = 1;
      this.onopen();
      this.says(welcomeFrame(welcome));
    }

    /** @param {number} code @param {string} [reason] */
    ends(code, reason = "") {
      this.readyState = 3;
      this.onclose({ code, reason });
    }
  }
  return { WebSocket: FakeSocket, sockets, last: () => /** @type {FakeSocket} */ (sockets.at(-1)) };
}

/** @param {Record<string, unknown>} [payload] */
export function welcomeFrame(payload = {}) {
  const given = {
    session_id: "session-1",
    resumed: false,
    heartbeat_interval_ms: 25_000,
    resume_window_ms: 60_000,
    device: device("laptop"),
    devices: [device("laptop")],
    streams: [],
    ice_servers: [],
    ...payload,
  };
  return { type: "welcome", payload: given };
}

/** @param {string} id @param {Record<string, unknown>} [rest] */
export function device(id, rest = {}) {
  return { id: `row-${id}`, user_id: "user", device_id: id, device_name: id, device_type: "unknown", is_online: true, last_seen: null, created_at: "2027-01-14T08:30:00.000Z", ...rest };
}

/** Lets promises that are settled run on: no time, only turns. */
export async function turns() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** A peer connection that does as it is told, and whose descriptions name their origin. */
export class FakePeerConnection extends EventTarget {
  static made = 0;
  number = (FakePeerConnection.made += 1);
  version = 0;
  signalingState = "stable";
  connectionState = "new";
  /** @type {any} */
  localDescription = null;
  /** @type {any} */
  remoteDescription = null;
  /** @type {any[]} */
  candidates = [];
  restarts = 0;
  closed = false;
  onnegotiationneeded = () => {};
  onconnectionstatechange = () => {};
  ontrack = (/** @type {any} */ _event) => {};

  /** @param {any} configuration */
  constructor(configuration) {
    super();
    this.configuration = configuration;
  }

  addTrack() {
    return {};
  }

  addTransceiver() {
    return { sender: {}, stop() {} };
  }
  getTransceivers() {
    return [];
  }

  createDataChannel() {
    return Object.assign(new EventTarget(), { label: "data", readyState: "connecting" });
  }

  async setLocalDescription() {
    const type = this.signalingState === "have-remote-offer" ? "answer" : "offer";
    this.version += 1;
    this.localDescription = { type, sdp: `v=0\r\no=- ${this.number} ${this.version} IN IP4 127.0.0.1\r\n` };
    this.signalingState = type === "offer" ? "have-local-offer" : "stable";
  }

  /** @param {any} description */
  async setRemoteDescription(description) {
    this.remoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }

  /** @param {any} candidate */
  async addIceCandidate(candidate) {
    this.candidates.push(candidate);
  }

  setConfiguration() {}
  restartIce() {
    this.restarts += 1;
  }

  async getStats() {
    return new Map();
  }

  close() {
    this.closed = true;
    this.signalingState = "closed";
  }

  /** @param {string} state */
  becomes(state) {
    this.connectionState = state;
    this.onconnectionstatechange();
  }
}

export class FakeMediaStream {
  /** @type {any[]} */
  tracks = [];
  getTracks() {
    return this.tracks;
  }
  addTrack(/** @type {any} */ track) {
    this.tracks.push(track);
  }
  removeTrack(/** @type {any} */ track) {
    this.tracks = this.tracks.filter((known) => known !== track);
  }
}
