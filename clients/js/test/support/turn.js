// Relays: the TURN servers that the tests go through.

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { start } from "./children.js";

const COTURN = "/usr/bin/turnserver";
const SECRET = "2f9mQ7xVtR4cLkWz8sNbYpEh";

/**
 * A TURN server.
 * @typedef {object} Relay
 * @property {Record<string, string>} env what a Streamz has to know of it
 * @property {(server: import("./server.js").Program) => void} serves the Streamz that knows it
 * @property {() => void} pause it falls silent, as if its network were gone
 * @property {() => void} resume
 * @property {() => Promise<void>} stop
 */

/**
 * Debian's coturn, with the credentials that Streamz makes.
 * @param {"udp" | "tcp"} transport from the devices to it
 * @returns {Promise<Relay>}
 */
export async function startCoturn(transport = "udp") {
  if (!existsSync(COTURN)) throw new Error(`There is no ${COTURN}: install Debian's package coturn.`);
  const folder = await mkdtemp(join(tmpdir(), "streamz-coturn-"));
  const port = await freePort();
  const options = [
    "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", `--listening-port=${port}`, "--realm=streamz.test",
    "--use-auth-secret", `--static-auth-secret=${SECRET}`, "--allow-loopback-peers", "--no-cli", "--no-tls", "--no-dtls",
    "--log-file=stdout", "--simple-log", `--pidfile=${join(folder, "pid")}`, `--userdb=${join(folder, "db")}`,
  ];
  const child = start(COTURN, options, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  let said = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (chunk) => (said = (said + chunk).slice(-20_000)));
  // It does not say when it listens.
  while (!(await answers(port))) if (child.exitCode !== null) throw new Error(`coturn ended with status ${child.exitCode}: ${said}`);
  return {
    env: { TURN_URLS: `turn:127.0.0.1:${port}?transport=${transport}`, TURN_SECRET: SECRET },
    serves() {},
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    async stop() {
      child.kill("SIGKILL");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * The one in the process of a Streamz: it falls silent with it.
 * @returns {Promise<Relay>}
 */
async function embedded() {
  /** @type {import("./server.js").Program} */
  let server;
  return {
    // Both devices are on this machine.
    env: { TURN_PORT: "0", TURN_ALLOW_PRIVATE: "true" },
    serves: (its) => void (server = its),
    pause: () => server.pause(),
    resume: () => server.resume(),
    async stop() {},
  };
}

/** @param {number} port @returns {Promise<boolean>} */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** A port that is free for UDP and TCP, as far as TCP can tell. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/** The relays that a call must get through. @type {{ name: string, protocol: string, start: () => Promise<Relay> }[]} */
export const RELAYS = [
  { name: "coturn over UDP", protocol: "udp", start: () => startCoturn("udp") },
  { name: "coturn over TCP", protocol: "tcp", start: () => startCoturn("tcp") },
  { name: "the embedded TURN server", protocol: "udp", start: embedded },
];
