import { afterEach } from "node:test";

/** What the present test has to undo, the last thing first. @type {(() => unknown)[]} */
const undo = [];

/** Undoes it once the present test is over, however that ends. @param {() => unknown} what */
export function atEnd(what) {
  undo.push(what);
}

afterEach(async () => {
  while (undo.length > 0) await undo.pop()?.();
});
