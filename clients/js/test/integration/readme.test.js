import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";

import { person, signedIn } from "../support/client.js";
import { snippets } from "../support/readme.js";
import { startServer } from "../support/server.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The snippets that need a page; `test/browser/readme.test.js` runs them. */
export const PAGES = ["tv", "phone", "kept", "viewer", "camera", "sharer", "wall", "watcher", "sender", "receiver"];

/** @type {Awaited<ReturnType<typeof startServer>>} */
let server;
before(async () => {
  server = await startServer();
});
after(() => server?.stop());

describe("the README", () => {
  it("has no snippet that no test runs", () => {
    const js = snippets().filter(({ language }) => language === "js").map(({ how }) => how);
    assert.deepEqual(js.filter((how) => how !== "node").sort(), PAGES.map((page) => `page=${page}`).sort());
    assert.deepEqual(snippets().filter(({ language }) => language !== "js").map(({ language }) => language), ["html"]);
  });

  for (const [number, { code }] of snippets().filter(({ how }) => how === "node").entries()) {
    it(`snippet ${number + 1} for Node runs`, async () => {
      const account = person();
      await (await signedIn(server.url)).register(account);
      const given = `const server = ${JSON.stringify(server.url)}; const { email, password } = ${JSON.stringify(account)};\n`;
      const child = spawn(process.execPath, ["--input-type=module", "--eval", given + code], { cwd: ROOT, stdio: ["ignore", "ignore", "pipe"] });
      let said = "";
      child.stderr.on("data", (chunk) => (said += chunk));
      const [status] = await once(child, "close");
      assert.equal(status, 0, said);
    });
  }
});
