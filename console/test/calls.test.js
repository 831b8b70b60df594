// Calls of the console, in Chromium: what flows is asked of the pictures that were decoded, not of the words on the page.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { startServer } from "../../clients/js/test/support/server.js";
import { startCoturn } from "../../clients/js/test/support/turn.js";
import { assertAccessible, assertClean, decodes, launch, live, openPage, person, readCode, rename, serve, signIn, signUp, tabTo } from "./support/console.js";

let server;
let browser;
let undo = [];
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(async () => {
  while (undo.length > 0) await undo.pop()();
});

async function newContext(options = {}, script) {
  const context = await browser.newContext({ permissions: ["camera", "microphone"], ...options });
  undo.push(() => context.close());
  if (script) await context.addInitScript(script);
  return context;
}

/** A laptop and a television of one person. */
async function two({ url = server.url, script, phone = {} } = {}) {
  const account = person();
  const laptop = await openPage(await newContext({}, script), url);
  await signUp(laptop, account);
  await rename(laptop, "Laptop", "laptop");
  const tv = await openPage(await newContext(phone, script), url, "/#join");
  await signIn(tv, account);
  await rename(tv, "Television", "tv");
  await laptop.getByRole("heading", { name: "Television" }).waitFor();
  return { account, laptop, tv };
}

const over = (page) => page.getByRole("dialog").waitFor({ state: "detached" });
const hangUp = async (page, ...pages) => {
  await page.getByRole("button", { name: "Hang up" }).click();
  await Promise.all([page, ...pages].map(over));
};
/** Both of so many pictures of the other side move. */
const pictures = (page, count) => page.waitForFunction((count) => {
  const moving = [...document.querySelectorAll(".remote-video")].filter((video) => !video.hidden && video.getVideoPlaybackQuality().totalVideoFrames >= 10);
  return moving.length === count;
}, count);

describe("a call of the console", () => {
  it("gets a screen in the middle, and loses it again", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    await tv.getByRole("button", { name: "Accept" }).click();
    await Promise.all([decodes(laptop), decodes(tv)]);
    await laptop.getByRole("button", { name: "Share your screen" }).click();
    await pictures(tv, 2);
    await assertAccessible(tv);
    await laptop.getByRole("button", { name: "Stop sharing your screen" }).click();
    await pictures(tv, 1);
    await decodes(tv, 30);
    await hangUp(laptop, tv);
    for (const page of [laptop, tv]) assertClean(page, server.url);
  });

  it("is a screen, and nothing else", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Share the screen with Television" }).click();
    await tv.getByText("Wants to show its screen").waitFor();
    await tv.getByRole("button", { name: "Watch" }).click();
    await decodes(tv);
    await laptop.getByText("Television sees your screen").waitFor();
    await hangUp(tv, laptop);
  });

  it("is sound alone, and says so", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Audio call Television" }).click();
    await tv.getByRole("button", { name: "Accept" }).click();
    await tv.waitForFunction(() => {
      const sound = document.querySelector(".remote-sound");
      return sound?.srcObject?.getAudioTracks().length === 1 && !sound.paused && sound.currentTime > 0.5;
    });
    // A camera that is turned on later is seen.
    await laptop.getByRole("button", { name: "Turn camera on" }).click();
    await decodes(tv);
    await hangUp(laptop, tv);
  });

  it("changes its camera", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    await tv.getByRole("button", { name: "Accept" }).click();
    await decodes(tv);
    const own = () => laptop.evaluate(() => document.querySelector(".local-video").srcObject.getVideoTracks()[0].getSettings().deviceId);
    // Of the cameras that Chromium makes up, the second one gives depth instead of a picture.
    for (let swaps = 0; swaps < 2; swaps += 1) {
      const last = await own();
      await laptop.getByRole("button", { name: "Use the other camera" }).click();
      await laptop.waitForFunction((last) => document.querySelector(".local-video").srcObject.getVideoTracks()[0].getSettings().deviceId !== last, last);
    }
    await decodes(tv, (await tv.evaluate(() => document.querySelector(".remote-video").getVideoPlaybackQuality().totalVideoFrames)) + 10);
    await hangUp(laptop, tv);
  });

  it("shows that it goes through a relay, and the history has it", async () => {
    const relay = await startCoturn();
    undo.push(() => relay.stop());
    const relayed = await startServer(relay.env);
    undo.push(() => relayed.stop());
    // As in networks that allow nothing else.
    const script = () => {
      const Real = RTCPeerConnection;
      globalThis.RTCPeerConnection = class extends Real {
        constructor(configuration) {
          super({ ...configuration, iceTransportPolicy: "relay" });
        }
        setConfiguration(configuration) {
          super.setConfiguration({ ...configuration, iceTransportPolicy: "relay" });
        }
      };
    };
    const { laptop, tv } = await two({ url: relayed.url, script });
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    await tv.getByRole("button", { name: "Accept" }).click();
    await Promise.all([decodes(laptop), decodes(tv)]);
    for (const page of [laptop, tv]) {
      await page.locator(".call-line .path", { hasText: "Relayed" }).waitFor();
      await page.getByText("Through a relay, still encrypted from end to end").waitFor();
      await page.locator(".facts").getByText(/\d ms/).waitFor();
      await page.locator(".facts").getByText(/\d (k|M)?bit\/s/).first().waitFor();
      await page.waitForFunction(() => document.querySelector(".chart-line.received").getAttribute("d").includes("L"));
    }
    await hangUp(laptop, tv);
    await tv.getByRole("link", { name: "History" }).click();
    await tv.locator(".row", { hasText: "Video call" }).getByText("Relayed").waitFor();
  });

  it("is made, taken and ended by the keyboard alone", async () => {
    const { laptop, tv } = await two();
    await laptop.bringToFront();
    await laptop.evaluate(() => document.activeElement?.blur());
    await tabTo(laptop, "Video call Television");
    await laptop.keyboard.press("Enter");
    // The ring has the focus, on what takes it.
    await tv.getByRole("button", { name: "Accept" }).waitFor();
    await tabTo(tv, "Accept");
    await tv.keyboard.press("Space");
    await Promise.all([decodes(laptop), decodes(tv)]);
    await tabTo(laptop, "Mute");
    await laptop.keyboard.press("Enter");
    await laptop.getByRole("button", { name: "Unmute" }).waitFor();
    assert.equal(await laptop.evaluate(() => document.activeElement.getAttribute("aria-label")), "Unmute");
    await tabTo(laptop, "Hang up");
    await laptop.keyboard.press("Enter");
    await Promise.all([over(laptop), over(tv)]);
    // Escape declines a ring.
    await laptop.getByRole("button", { name: "Video call Television" }).press("Enter");
    await tv.getByRole("button", { name: "Accept" }).waitFor();
    await tv.keyboard.press("Escape");
    await Promise.all([over(laptop), over(tv)]);
  });

  it("rings to be heard, and is silent once it is taken", async () => {
    const script = () => {
      const start = OscillatorNode.prototype.start;
      globalThis.notes = 0;
      OscillatorNode.prototype.start = function (...given) {
        globalThis.notes += 1;
        return start.apply(this, given);
      };
    };
    const { laptop, tv } = await two({ script });
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    // Two rounds of the ring.
    await Promise.all([tv.waitForFunction(() => globalThis.notes >= 8), laptop.waitForFunction(() => globalThis.notes >= 2)]);
    const title = await tv.title();
    await tv.waitForFunction((before) => document.title !== before, title);
    await tv.getByRole("button", { name: "Decline" }).click();
    await Promise.all([over(laptop), over(tv)]);
    await tv.waitForFunction(() => document.title === "Streamz");
  });

  it("works on a phone, by touch", async () => {
    const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };
    const { laptop, tv } = await two({ phone });
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    await tv.getByRole("button", { name: "Accept" }).tap();
    await Promise.all([decodes(laptop), decodes(tv)]);
    await assertAccessible(tv);
    // Whatever can be tapped is large enough for a finger (WCAG 2.2, target size), and in the window.
    const small = await tv.evaluate(() => [...document.querySelectorAll(".call button")].filter((button) => button.checkVisibility()).map((button) => [button.title, button.getBoundingClientRect()])
      .filter(([, box]) => box.width < 40 || box.height < 40 || box.left < 0 || box.right > innerWidth || box.bottom > innerHeight).map(([title]) => title));
    assert.deepEqual(small, []);
    await tv.getByRole("button", { name: "Hang up" }).tap();
    await Promise.all([over(laptop), over(tv)]);
  });
});

describe("another device", () => {
  for (const colorScheme of ["light", "dark"]) {
    it(`joins by the QR code (${colorScheme})`, async () => {
      const account = person();
      const laptop = await openPage(await newContext({ colorScheme }), server.url);
      await signUp(laptop, account);
      await laptop.getByRole("button", { name: "Add device" }).click();
      const link = await readCode(laptop.getByRole("img", { name: /^QR code/ }));
      assert.equal(link, `${server.url}/#join`);
      const phone = await (await newContext()).newPage();
      await phone.goto(link);
      await phone.getByRole("heading", { name: "Add this device" }).waitFor();
      await signIn(phone, account);
      await live(phone);
      await laptop.getByText("2 devices, 2 online").waitFor();
    });
  }
});
