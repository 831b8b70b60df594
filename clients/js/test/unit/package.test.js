import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "node:test";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** @param {string} folder */
function contents(folder) {
  const names = readdirSync(folder, { recursive: true }).map(String).filter((name) => statSync(join(folder, name)).isFile());
  return new Map(names.sort().map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

describe("the package", () => {
  it("ships the types of its sources as they are", () => {
    const fresh = mkdtempSync(join(tmpdir(), "streamz-types-"));
    try {
      execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.types.json", "--outDir", fresh], { cwd: ROOT });
      assert.deepEqual(contents(join(ROOT, "types")), contents(fresh), "run `npm run types`");
    } finally {
      rmSync(fresh, { recursive: true, force: true });
    }
  });

  it("needs nothing at run time, and exports what is there", async () => {
    const described = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
    assert.equal(described.dependencies, undefined);
    for (const path of Object.values(described.exports["."])) assert.ok(statSync(join(ROOT, path)).isFile());
    const name = "@streamz/client";
    assert.equal(typeof (await import(name)).Streamz, "function");
  });

  it("names no registry in its lock file", () => {
    assert.doesNotMatch(readFileSync(join(ROOT, "package-lock.json"), "utf8"), /"resolved"/);
  });

  it("keeps its files short", () => {
    for (const [name, text] of contents(join(ROOT, "src"))) {
      assert.ok(text.split("\n").length <= 400, `${name} is long`);
    }
  });
});
