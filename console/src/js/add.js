// Another device joins: by a link or its QR code. The link holds an address and nothing else.

import { h, svg } from "./dom.js";
import { icon } from "./icons.js";
import { button, dialog, toast } from "./parts.js";
import { encode } from "../vendor/uqr.js";

export function addDevice() {
  const link = `${location.origin}/#join`;
  const local = /^(localhost|127\.|\[::1\])/.test(location.hostname) || location.hostname.endsWith(".localhost");
  const address = h("output", { class: "link-text", id: "join-link" }, link);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(link);
      toast("The link is copied.");
    } catch {
      // Not a secure page: the person copies it by hand.
      getSelection()?.selectAllChildren(address);
      toast("Select and copy the link by hand.");
    }
  };
  dialog({ title: "Add a device", kind: "add", text: "Scan the code with its camera, or open the link there, and sign in." }, (close) => [
    h("div", { class: "qr" }, code(link)),
    h("div", { class: "link-row" }, icon("link"), address, button("Copy", copy, { icon: "copy" })),
    local && h("p", { class: "notice" }, icon("warn"), h("span", {},
      `${location.hostname} is this computer alone. For other devices, open Streamz here by an address that they can reach, over https. A second tab of this browser works at once.`)),
    h("div", { class: "dialog-actions" },
      button("Open a second tab", () => open(link, "_blank", "noopener")), button("Done", () => close(), { kind: "primary" })),
  ]);
}

/** @param {string} text */
function code(text) {
  const { data, size } = encode(text, { ecc: "M", border: 2 });
  let path = "";
  for (const [y, row] of data.entries()) for (const [x, dark] of row.entries()) if (dark) path += `M${x} ${y}h1v1h-1z`;
  return svg("svg", { class: "qr-code", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": `QR code of ${text}`, "shape-rendering": "crispEdges" },
    svg("path", { d: path }));
}
