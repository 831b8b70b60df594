import { readFileSync } from "node:fs";

/** The snippets of the README, each with what stands behind its language. */
export function snippets() {
  const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const fences = text.matchAll(/^```(\w+) ?(.*)\n([\s\S]*?)^```$/gm);
  return [...fences].map(([, language, how, code]) => ({ language, how, code }));
}

/** @param {string} how */
export function snippet(how) {
  const found = snippets().find((snippet) => snippet.how === how);
  if (!found) throw new Error(`The README has no snippet "${how}".`);
  return found.code;
}
