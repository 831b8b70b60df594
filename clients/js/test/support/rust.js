// A peer of the `webrtc` crate, beside the program under test: tests/interop/examples/peer.rs.

import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";

import { start } from "./children.js";
import { atEnd } from "./cleanup.js";

/**
 * A device of an account; ended with the test.
 * @param {string} url
 * @param {{ email: string, password: string }} account
 * @param {string[]} options
 */
export async function rustPeer(url, { email, password }, ...options) {
  const program = join(dirname(process.env.STREAMZ_BIN ?? ""), "examples/peer");
  if (!existsSync(program)) throw new Error(`There is no ${program}: cargo build -p streamz-interop --example peer`);
  const env = { ...process.env, STREAMZ_EMAIL: email, STREAMZ_PASSWORD: password };
  const child = start(program, ["--url", url, ...options], { env, stdio: ["ignore", "pipe", "inherit"] });
  atEnd(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const peer = {
    /**
     * What it says next of this kind.
     * @param {string} event
     * @param {(said: any) => boolean} [wanted]
     */
    async says(event, wanted = () => true) {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`The Rust peer ended before it said "${event}".`);
        const said = JSON.parse(value);
        if (said.event === event && wanted(said)) return said;
      }
    },
  };
  await peer.says("online");
  return peer;
}
