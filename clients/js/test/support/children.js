// Programs that tests start: none outlives its test process, however that ends.

import { spawn } from "node:child_process";

/** @type {Set<import("node:child_process").ChildProcess>} */
const running = new Set();

process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
// The runner ends a file that takes too long by this signal, which alone would say nothing to what it started.
process.once("SIGTERM", () => process.exit(143));

/**
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import("node:child_process").SpawnOptions} options
 * @returns {import("node:child_process").ChildProcessWithoutNullStreams} with the streams that `stdio` asks for
 */
export function start(program, args, options) {
  const child = spawn(program, args, options);
  running.add(child);
  child.once("exit", () => running.delete(child));
  return /** @type {any} */ (child);
}
