// A real server for a test, and what stands between it and its clients.

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { start } from "./children.js";

/** @typedef {Awaited<ReturnType<typeof startProgram>>} Program */

/**
 * Starts the server that STREAMZ_BIN names. It has no TURN server unless a test says so: many of them run at a time.
 * @param {Record<string, string>} [env]
 */
export async function startServer(env = {}) {
  const data = env.DATA_DIR ?? (await mkdtemp(join(tmpdir(), "streamz-js-")));
  const program = await startProgram([], { DATA_DIR: data, TURN_PORT: "off", ...env });
  return {
    ...program,
    data,
    async stop() {
      await program.kill();
      if (env.DATA_DIR === undefined) await rm(data, { recursive: true, force: true });
    },
  };
}

/**
 * One process of it, in a role that listens.
 * @param {string[]} role
 * @param {Record<string, string>} env
 */
export async function startProgram(role, env) {
  const binary = process.env.STREAMZ_BIN;
  if (!binary) {
    throw new Error("Set STREAMZ_BIN to a streamz binary: these tests talk to a running server.");
  }
  const child = start(binary, role, {
    env: { PATH: process.env.PATH, PORT: "0", LOGINS_PER_MINUTE: "10000", RUST_LOG: "warn", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      const found = /(?:listens|operations) on (https?:\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`The server ended with status ${code}: ${said}`)));
  });
  return {
    url,
    port: Number(new URL(url).port),
    /** It falls silent. */
    pause: () => void child.kill("SIGSTOP"),
    resume: () => void child.kill("SIGCONT"),
    /** Ends it as a crash would. */
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/**
 * A TCP proxy in front of a port: it can cut all connections, refuse new ones, and hold back what flows.
 * @param {number} port
 */
export async function startProxy(port) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  /** @type {(() => void)[]} */
  let waiting = [];
  let refusing = false;
  let target = port;
  const server = createServer((inner) => {
    if (refusing) return inner.destroy();
    const outer = connect(target, "127.0.0.1");
    for (const [socket, other] of [[inner, outer], [outer, inner]]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    inner.pipe(outer);
    outer.pipe(inner);
    for (const resolve of waiting) resolve();
    waiting = [];
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${address.port}`,
    /** Cuts every connection, without a word. */
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    /** Connections that come from now on are cut at once, or let through again. @param {boolean} on */
    refuse(on) {
      refusing = on;
    },
    /** Another server stands behind it now. @param {number} port */
    retarget(port) {
      target = port;
    },
    /** @returns {Promise<void>} */
    nextConnection: () => new Promise((resolve) => void waiting.push(resolve)),
    async stop() {
      this.cut();
      server.close();
      await once(server, "close");
    },
  };
}
