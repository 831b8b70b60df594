// A server, a browser, and pages that call each other.

import assert from "node:assert/strict";
import { after, before } from "node:test";

import { launch, openPage, serveFiles } from "./browser.js";
import { atEnd } from "./cleanup.js";
import { person, signedIn } from "./client.js";
import { startServer } from "./server.js";

/** @typedef {import("playwright-core").Page} Page */

/** What a page calls `app`. @type {any} */
const app = undefined;

/**
 * What pages are opened with.
 * @typedef {object} Opening
 * @property {string} [url] the server's, if it is another one
 * @property {string[]} [urls] the server's for each page
 * @property {number} [maxStreams]
 */

/** A room for the tests of a file: made before the first one, left after the last. */
export class Room {
  /** @type {Awaited<ReturnType<typeof serveFiles>>} */
  files = /** @type {any} */ (undefined);
  /** @type {Awaited<ReturnType<typeof startServer>>} */
  server = /** @type {any} */ (undefined);
  /** @type {import("playwright-core").Browser} */
  browser = /** @type {any} */ (undefined);

  /** @param {Record<string, string>} [env] of the server that stands all the time */
  constructor(env = {}) {
    before(async () => {
      this.files = await serveFiles();
      this.server = await this.start(env);
      this.browser = await launch();
    });
    after(async () => {
      await this.browser?.close();
      await this.server?.stop();
      await this.files?.stop();
    });
  }

  /** A server that takes this room's pages. @param {Record<string, string>} [env] */
  start(env = {}) {
    return startServer({ ALLOWED_ORIGINS: this.files.origin, ...env });
  }

  /** The same, for one test. @param {Record<string, string>} [env] */
  async startForNow(env = {}) {
    const server = await this.start(env);
    atEnd(() => server.stop());
    return server;
  }

  /**
   * Pages of one new account, a device each.
   * @param {string[]} devices
   * @param {Opening} [options]
   */
  async open(devices, { url = this.server.url, urls = devices.map(() => url), maxStreams } = {}) {
    const account = person();
    const streamz = await signedIn(urls[0]);
    await streamz.logout();
    await streamz.register(account);
    atEnd(() => streamz.close());
    /** @type {Page[]} */
    const pages = [];
    for (const [at, device] of devices.entries()) pages.push(await this.page(device, account, { url: urls[at], maxStreams }));
    return { account, streamz, pages };
  }

  /**
   * One more page of an account.
   * @param {string} device
   * @param {{ email: string, password: string }} account
   * @param {Opening} [options]
   */
  async page(device, account, { url = this.server.url, maxStreams } = {}) {
    const page = await openPage(this.browser, { origin: this.files.origin, url, account, device, ...(maxStreams && { maxStreams }) });
    atEnd(() => page.context().close());
    return page;
  }

  /**
   * One calls the other with its camera, and the other sees it.
   * @param {Opening & { devices?: string[], options?: import("../../src/index.js").StreamOptions }} [how]
   */
  async inCall({ devices = ["phone", "tv"], options = {}, ...opening } = {}) {
    const all = await this.open(devices, opening);
    const [phone, tv] = all.pages;
    await call(phone, tv, devices[1], options);
    return { ...all, phone, tv };
  }
}

/**
 * @param {Page} from
 * @param {Page} to
 * @param {string} name of the device that is called
 * @param {import("../../src/index.js").StreamOptions} [options]
 */
export async function call(from, to, name, options = {}) {
  const taken = to.evaluate(async () => void (await (await app.ring()).accept()));
  const made = from.evaluate(async ({ name, options }) => {
    app.use(app.connection.stream(name, (app.sent = await app.camera()), options));
    await app.call.ready;
  }, { name, options });
  await Promise.all([taken, made]);
  await sees(to);
}

/** The other side's picture goes on: so many more frames are decoded. @param {Page} page @param {number} [frames] */
export async function sees(page, frames = 10) {
  assert.ok((await page.evaluate((count) => app.frames(count), frames)) >= frames);
}

/** The record of the newest stream, once it is closed: it is written behind the signaling. @param {import("../../src/index.js").Streamz} streamz */
export async function lastRecord(streamz) {
  for (;;) {
    const [record] = (await streamz.streams.list({ limit: 1 })).streams;
    if (record?.ended_at) return record;
  }
}
