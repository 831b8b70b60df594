// Chromium, and pages that have the client.

import { createServer } from "node:http";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream=device-count=3",
  "--use-fake-ui-for-media-stream",
  // Names under .local need a network that these tests do not ask for.
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  // The dialog that asks which screen is answered: the tab of this title.
  "--auto-accept-this-tab-capture",
  "--auto-select-tab-capture-source-by-title=Streamz",
  "--autoplay-policy=no-user-gesture-required",
];

const TYPES = new Map([[".js", "text/javascript"], [".html", "text/html"]]);

/** Serves the package's own files on a free port: they need no build step. */
export async function serveFiles() {
  /** Pages that a test makes, by path. @type {Map<string, string>} */
  const pages = new Map();
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://h").pathname);
    const page = pages.get(path);
    if (page !== undefined) return void response.writeHead(200, { "content-type": "text/html" }).end(page);
    const file = path === "/" ? "test/browser/page.html" : path;
    try {
      const content = await readFile(join(ROOT, file));
      response.writeHead(200, { "content-type": TYPES.get(extname(file)) ?? "text/plain" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    origin: `http://127.0.0.1:${port}`,
    pages,
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export async function launch() {
  if (!existsSync(CHROMIUM)) {
    throw new Error(`There is no Chromium at ${CHROMIUM}: install Debian's package chromium, or set CHROMIUM.`);
  }
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/**
 * A page of its own profile, signed in and online as `device`; what it says on its console is shown if `DEBUG` is set.
 * @param {import("playwright-core").Browser} browser
 * @param {{ origin: string, url: string, account: { email: string, password: string }, device: string, maxStreams?: number }} parts
 */
export async function openPage(browser, { origin, ...parts }) {
  const context = await browser.newContext({ permissions: ["camera", "microphone"] });
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error(parts.device, error));
  if (process.env.DEBUG) page.on("console", (message) => console.error(parts.device, message.text()));
  await page.goto(origin);
  await page.evaluate((given) => /** @type {any} */ (globalThis).app.start(given), parts);
  return page;
}
