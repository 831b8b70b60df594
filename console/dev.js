// Serves the page from this folder, so that a change is seen at the next reload, and hands everything else to a running
// Streamz: `node console/dev.js http://127.0.0.1:8080 3000`.

import { createServer, request } from "node:http";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = { ".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
const [target = "http://127.0.0.1:8080", port = "3000"] = process.argv.slice(2);
const { hostname, port: targetPort } = new URL(target);
const folder = fileURLToPath(new URL(".", import.meta.url));

/** Where a path's file is; nothing for what Streamz itself answers. */
function fileOf(path) {
  if (path === "/") return join(folder, "src/index.html");
  if (path.startsWith("/console/client/")) return join(folder, "../clients/js/src", path.slice(16));
  return path.startsWith("/console/") ? join(folder, "src", path.slice(9)) : undefined;
}

const server = createServer(async (asked, answer) => {
  const file = fileOf(normalize(new URL(asked.url, "http://h").pathname));
  if (file) {
    const content = await readFile(file).catch(() => undefined);
    const csp = `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; media-src 'self' blob:; connect-src 'self' ws://${asked.headers.host}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`;
    const type = TYPES[extname(file)] ?? "text/plain";
    return content ? answer.writeHead(200, { "content-type": type, "content-security-policy": csp, "cache-control": "no-store" }).end(content) : answer.writeHead(404).end();
  }
  const onward = request({ host: hostname, port: targetPort, path: asked.url, method: asked.method, headers: asked.headers }, (got) => {
    answer.writeHead(got.statusCode, got.headers);
    got.pipe(answer);
  });
  onward.on("error", () => answer.writeHead(502).end());
  asked.pipe(onward);
});
server.on("upgrade", (asked, inner, head) => {
  const outer = connect(Number(targetPort), hostname, () => {
    const lines = [`${asked.method} ${asked.url} HTTP/1.1`];
    for (let at = 0; at < asked.rawHeaders.length; at += 2) lines.push(`${asked.rawHeaders[at]}: ${asked.rawHeaders[at + 1]}`);
    outer.write(`${lines.join("\r\n")}\r\n\r\n`);
    outer.write(head);
    inner.pipe(outer).pipe(inner);
  });
  for (const socket of [inner, outer]) socket.on("error", () => [inner.destroy(), outer.destroy()]);
});
server.listen(Number(port), "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
