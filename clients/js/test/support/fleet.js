// Two gateways and a signaling node, with a Redis and a Postgres of their own.

import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";

import { start } from "./children.js";
import { startProgram } from "./server.js";

/**
 * Starts it; whatever was started is ended by `stop`.
 * @param {Record<string, string>} env
 */
export async function startFleet(env = {}) {
  const { STREAMZ_BIN = "" } = process.env;
  const servers = join(dirname(STREAMZ_BIN), "streamz-testkit");
  if (!existsSync(servers)) throw new Error(`There is no ${servers}: cargo build -p streamz-testkit`);
  const folder = await mkdtemp(join(tmpdir(), "streamz-fleet-"));
  // It starts both, says where they are, and ends them when its input ends: with this process, whatever happens.
  const testkit = start(servers, [], { stdio: ["pipe", "pipe", "inherit"] });
  // While it begins and ends, its parts do miss each other: that is no news here.
  const variables = { RUST_LOG: "error", ...env, DATA_DIR: folder, HOST: "127.0.0.1", JWT_SECRET: "vUzs6w9GgE4M0uRCHn2q7dYkXbPpLtA3", DATABASE_POOL: "4" };
  let said = "";
  for await (const chunk of testkit.stdout) {
    said += chunk;
    if (/REDIS_URL=\S+\n/.test(said)) break;
  }
  for (const [, name, value] of said.matchAll(/^(\w+)=(\S+)$/gm)) Object.assign(variables, { [name]: value });
  const migrate = start(STREAMZ_BIN, ["migrate"], { env: { PATH: process.env.PATH, ...variables }, stdio: ["ignore", "ignore", "inherit"] });
  const [status] = await once(migrate, "exit");
  if (status !== 0) throw new Error(`streamz migrate ended with status ${status}.`);
  const node = await startProgram(["node"], variables);
  const gateways = [await startProgram(["gateway"], variables), await startProgram(["gateway"], variables)];
  for (const { url } of [node, ...gateways]) while (!(await fetch(`${url}/ready`)).ok) await setTimeout(50);
  return {
    gateways,
    node,
    async stop() {
      for (const each of [...gateways, node]) await each.kill();
      testkit.stdin.end();
      await once(testkit, "exit");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
