// Which calls a page is in, and what it sends in them, in Chromium: through rings at once, reloads, and cameras that fail.

import assert from "node:assert/strict";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { assertAccessible, assertClean, decodes, launch, live, openPage, person, rename, serve, signIn, signUp } from "./support/console.js";

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

/** Takes note of what a page asks for, gets and sends; and makes the browser ask the person, or the camera fail. */
function watchMedia() {
  Object.assign(globalThis, { asked: [], given: [], sent: [], gate: Promise.resolve(), oneCamera: false, broken: "" });
  const real = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
  if (!real) return;
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    asked.push(Object.keys(constraints));
    await globalThis.gate;
    const taken = constraints.video && given.some((track) => track.kind === "video" && track.readyState === "live");
    if ((globalThis.oneCamera && taken) || (globalThis.broken && constraints.video?.deviceId?.exact === globalThis.broken)) {
      throw new DOMException("in use", "NotReadableError");
    }
    const stream = await real(constraints);
    given.push(...stream.getTracks());
    return stream;
  };
  for (const name of ["addTrack", "addTransceiver"]) {
    const add = RTCPeerConnection.prototype[name];
    RTCPeerConnection.prototype[name] = function (track, ...more) {
      if (track instanceof MediaStreamTrack) sent.push({ kind: track.kind, enabled: track.enabled });
      return add.call(this, track, ...more);
    };
  }
}

const close = (page) => page.evaluate(() => void (globalThis.gate = new Promise((open) => (globalThis.open = open))));
const open = (page) => page.evaluate(() => globalThis.open());
const askedAfter = (page, count) => page.waitForFunction((count) => globalThis.asked.length > count, count);
const lights = (page) => page.evaluate(() => globalThis.given.filter(({ readyState }) => readyState === "live").map(({ kind }) => kind));

/** Devices of one person, each in a browser of its own. @param {...[string, string]} wanted names and types */
async function devices(...wanted) {
  const account = person();
  const pages = [];
  for (const [name, type] of wanted) {
    const context = await browser.newContext({ permissions: ["camera", "microphone"] });
    undo.push(() => context.close());
    await context.addInitScript(watchMedia);
    const page = await openPage(context, server.url, pages.length === 0 ? "/" : "/#join");
    await (pages.length === 0 ? signUp(page, account) : signIn(page, account));
    await rename(page, name, type);
    pages.push(page);
  }
  for (const [name] of wanted.slice(1)) await pages[0].getByRole("heading", { name }).waitFor();
  await pages[0].getByText(new RegExp(`^${wanted.length} devices?, ${wanted.length} online$`)).waitFor();
  return { account, pages };
}

const LAPTOP = ["Laptop", "laptop"];
const TV = ["Television", "tv"];
const PHONE = ["Phone", "phone"];
const over = (page) => page.getByRole("dialog").waitFor({ state: "detached" });
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const frames = (page) => page.evaluate(() => Math.max(...[...document.querySelectorAll(".remote-video")].map((video) => video.getVideoPlaybackQuality().totalVideoFrames)));
/** More frames arrive than there are now. */
const goesOn = async (page) => decodes(page, (await frames(page)) + 10);
const hears = (page) => page.waitForFunction(() => {
  const sound = document.querySelector(".remote-sound");
  return sound?.srcObject?.getAudioTracks().length === 1 && !sound.paused && sound.currentTime > 0.5;
});

describe("one call at a time", () => {
  it("of two that ring, the one is taken and the other hears that it is busy", async () => {
    const { pages: [laptop, tv, phone] } = await devices(LAPTOP, TV, PHONE);
    await press(laptop, "Video call Television");
    await tv.getByRole("dialog", { name: "Laptop" }).waitFor();
    await press(phone, "Video call Television");
    await tv.getByRole("dialog", { name: "Phone" }).waitFor();
    // It is said in passing.
    const said = tv.getByText("Laptop rang, and was told that this device is busy.").waitFor();
    await tv.getByRole("dialog", { name: "Phone" }).getByRole("button", { name: "Accept" }).click();
    await Promise.all([said, decodes(tv), decodes(phone), over(laptop)]);
    // What is seen is the call: nothing is asked over it, and it can be ended.
    assert.equal(await tv.locator("dialog").count(), 0);
    assert.equal(await tv.title(), "Phone – Streamz");
    await goesOn(tv);
    await press(tv, "Hang up");
    await Promise.all([over(tv), over(phone)]);
    await tv.waitForFunction(() => document.title === "Streamz");
    assert.deepEqual(await lights(tv), []);
  });

  it("a ring that is taken while the browser asks for the camera takes the place of what was to be started", async () => {
    const { pages: [laptop, tv, phone] } = await devices(LAPTOP, TV, PHONE);
    await close(tv);
    await press(tv, "Video call Phone");
    await askedAfter(tv, 0);
    await press(laptop, "Video call Television");
    await tv.getByRole("button", { name: "Accept" }).click();
    await askedAfter(tv, 1);
    await open(tv);
    await Promise.all([decodes(tv), decodes(laptop)]);
    assert.equal(await tv.getByRole("heading", { name: "Laptop" }).count() > 0, true);
    assert.equal(await phone.getByRole("dialog").count(), 0);
    // The camera of what was not started is closed again.
    assert.deepEqual((await lights(tv)).sort(), ["audio", "video"]);
    await press(tv, "Hang up");
    await Promise.all([over(tv), over(laptop)]);
    assert.deepEqual(await lights(tv), []);
  });

  it("a question about a call is over with it", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Video call Television");
    await press(tv, "Accept");
    await decodes(tv);
    // As after the page was closed: the tab does not know what it did.
    await tv.addInitScript(() => sessionStorage.removeItem("streamz.call"));
    await tv.reload();
    await tv.getByRole("dialog", { name: "Your call goes on" }).waitFor();
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
    assert.deepEqual(await tv.evaluate(() => globalThis.asked), []);
  });
});

describe("what is turned off", () => {
  it("a call that was answered without camera goes on without it after a reload", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Video call Television");
    await press(tv, "Answer without camera");
    await Promise.all([decodes(tv), hears(laptop)]);
    await tv.reload();
    await Promise.all([decodes(tv), hears(laptop)]);
    assert.deepEqual(await tv.evaluate(() => [globalThis.asked, globalThis.sent]), [[["audio"]], [{ kind: "audio", enabled: true }]]);
    assert.equal(await laptop.evaluate(() => [...document.querySelectorAll(".remote-video")].filter(({ hidden }) => !hidden).length), 0);
    await tv.getByRole("button", { name: "Turn camera on" }).waitFor();
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
  });

  it("who was silent and unseen is so after a reload, and may speak again", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Video call Television");
    await press(tv, "Accept");
    await Promise.all([decodes(tv), decodes(laptop)]);
    for (const page of [laptop, tv]) {
      await press(page, "Mute");
      await press(page, "Turn camera off");
      await page.reload();
      await press(page, "Unmute");
      await page.getByRole("button", { name: "Turn camera on" }).waitFor();
      assert.deepEqual(await page.evaluate(() => globalThis.sent), [{ kind: "audio", enabled: false }, { kind: "video", enabled: false }]);
      assert.deepEqual(await page.evaluate(() => globalThis.given.map(({ kind, enabled }) => [kind, enabled])), [["audio", true], ["video", false]]);
    }
    await press(tv, "Turn camera on");
    await decodes(laptop);
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
  });

  it("a camera that is off stays off when it is the other one", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Video call Television");
    await press(tv, "Accept");
    await Promise.all([decodes(tv), decodes(laptop)]);
    await press(laptop, "Turn camera off");
    const own = () => laptop.evaluate(() => document.querySelector(".local-video").srcObject.getVideoTracks().map((track) => [track.getSettings().deviceId, track.enabled])[0]);
    const [before] = await own();
    await press(laptop, "Use the other camera");
    await laptop.waitForFunction((before) => document.querySelector(".local-video").srcObject.getVideoTracks()[0]?.getSettings().deviceId !== before, before);
    assert.equal((await own())[1], false);
    await laptop.getByRole("button", { name: "Turn camera on" }).waitFor();
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
  });
});

describe("a camera", () => {
  it("is closed if the call ended while the browser asked for it", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    for (const [kind, button] of [["Audio call", "Turn camera on"], ["Video call", "Use the other camera"]]) {
      await press(laptop, `${kind} Television`);
      await press(tv, "Accept");
      await hears(tv);
      await close(laptop);
      const asked = await laptop.evaluate(() => globalThis.asked.length);
      await press(laptop, button);
      await askedAfter(laptop, asked);
      await press(tv, "Hang up");
      await Promise.all([over(laptop), over(tv)]);
      const given = await laptop.evaluate(() => globalThis.given.length);
      await open(laptop);
      await laptop.waitForFunction((given) => globalThis.given.length > given, given);
      await laptop.waitForFunction(() => globalThis.given.every(({ readyState }) => readyState === "ended"));
    }
    assertClean(laptop, server.url);
  });

  it("makes way for the other one, and comes back if that cannot be had", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Video call Television");
    await press(tv, "Accept");
    await Promise.all([decodes(tv), decodes(laptop)]);
    // As many phones do it.
    await laptop.evaluate(() => void (globalThis.oneCamera = true));
    const own = () => laptop.evaluate(() => document.querySelector(".local-video").srcObject.getVideoTracks().map((track) => track.getSettings().deviceId)[0]);
    const isNot = (id) => laptop.waitForFunction((id) => {
      const [track] = document.querySelector(".local-video").srcObject.getVideoTracks();
      return track?.readyState === "live" && track.getSettings().deviceId !== id;
    }, id);
    const first = await own();
    await press(laptop, "Use the other camera");
    await isNot(first);
    const second = await own();
    // Of the three that Chromium makes up, the second one gives depth instead of a picture.
    await press(laptop, "Use the other camera");
    await isNot(second);
    const third = await own();
    assert.notEqual(third, first);
    await goesOn(tv);
    await laptop.evaluate((first) => void (globalThis.broken = first), first);
    const asked = await laptop.evaluate(() => globalThis.asked.length);
    await press(laptop, "Use the other camera");
    await laptop.getByText("Another program is using the camera or microphone.").waitFor();
    await askedAfter(laptop, asked + 1);
    await isNot(first);
    assert.equal(await own(), third);
    await goesOn(tv);
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
    assert.deepEqual(await lights(laptop), []);
  });

  it("that may be watched has several viewers at once, and a call beside them", async () => {
    const { pages: [laptop, camera, phone] } = await devices(LAPTOP, ["Porch", "camera"], PHONE);
    const toggle = camera.getByRole("switch", { name: "Answer as a camera" });
    // It connects anew, to say how many streams it takes.
    const anew = async (streams, act) => {
      const [socket] = await Promise.all([camera.waitForEvent("websocket"), act()]);
      assert.equal(new URL(socket.url()).searchParams.get("max_streams"), streams);
      await live(camera);
    };
    await anew("5", () => toggle.click());
    // Nobody who uses the keyboard is thrown elsewhere.
    assert.equal(await toggle.evaluate((element) => element === document.activeElement), true);
    await laptop.getByText("3 devices, 3 online").waitFor();
    for (const page of [laptop, phone]) {
      await press(page, "Ask for the picture of Porch");
      await decodes(page);
    }
    await camera.getByText("2 devices watch this camera").waitFor();
    assert.equal(await camera.getByRole("dialog").count(), 0);
    assert.deepEqual(await lights(camera), ["video"]);
    await assertAccessible(camera);

    await press(laptop, "Hang up");
    await camera.getByText("Phone watches this camera", { exact: true }).waitFor();
    await press(laptop, "Video call Porch");
    await press(camera, "Accept");
    await Promise.all([decodes(laptop), decodes(camera)]);
    await goesOn(phone);
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(camera)]);
    await goesOn(phone);
    assert.deepEqual(await lights(camera), ["video"]);
    // A reload goes on with those that watch, and asks nothing.
    await camera.reload();
    await camera.getByText("Phone watches this camera", { exact: true }).waitFor();
    await decodes(phone);
    assert.equal(await camera.getByRole("dialog").count(), 0);

    await anew("1", async () => {
      await toggle.click();
      await over(phone);
    });
    await camera.waitForFunction(() => globalThis.given.every(({ readyState }) => readyState === "ended"));
    // From now on it asks, and takes one.
    await laptop.getByText("3 devices, 3 online").waitFor();
    await press(laptop, "Ask for the picture of Porch");
    await press(camera, "Share camera");
    await decodes(laptop);
    await press(phone, "Ask for the picture of Porch");
    await phone.getByText("Porch: busy.").waitFor();
    await press(camera, "Hang up");
    await Promise.all([over(camera), over(laptop)]);
  });
});

describe("what ends for good", () => {
  it("a sign-in that was ended elsewhere leads to the sign-in page", async () => {
    const { account, pages: [laptop] } = await devices(LAPTOP);
    const kept = await laptop.evaluate(() => JSON.parse(localStorage.getItem("streamz")));
    const token = kept.accessToken ?? kept.signIn?.accessToken;
    const answer = await fetch(`${server.url}/api/auth/logout`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
    assert.equal(answer.status < 300, true, String(answer.status));
    await laptop.getByRole("heading", { name: "Welcome back" }).waitFor();
    await laptop.getByText("Your sign-in has ended. Please sign in again.").waitFor();
    await assertAccessible(laptop);
    await signIn(laptop, account);
    await live(laptop);
  });

  it("a file that cannot be sent any more is told so", async () => {
    const { pages: [laptop, tv] } = await devices(LAPTOP, TV);
    await press(laptop, "Messages and files with Television");
    await press(tv, "Open");
    await laptop.getByLabel("Message", { exact: true }).fill("hello");
    await laptop.keyboard.press("Enter");
    await tv.getByText("hello").waitFor();
    // Large enough to be on its way for a while; it takes no room on the disk.
    const folder = await mkdtemp(join(tmpdir(), "streamz-console-"));
    undo.push(() => rm(folder, { recursive: true }));
    const film = join(folder, "film.bin");
    await writeFile(film, "");
    await truncate(film, 128 * 1_048_576);
    await laptop.getByLabel("Files to send").setInputFiles(film);
    await laptop.locator(".mine .file", { hasText: "film.bin" }).getByText(/^\d\d? %$/).waitFor();
    await press(tv, "Hang up");
    await laptop.getByText("film.bin was not sent.").waitFor();
    await Promise.all([over(laptop), over(tv)]);
  });
});

describe("a ring for all", () => {
  it("is of the kind that is chosen, by the keyboard too", async () => {
    const { pages: [laptop, tv, phone] } = await devices(LAPTOP, TV, PHONE);
    await laptop.getByRole("button", { name: "Ring all" }).press("Enter");
    await laptop.getByRole("menu").waitFor();
    assert.deepEqual(await laptop.getByRole("menuitem").allTextContents(), ["Video call", "Audio call", "Share the screen"]);
    await assertAccessible(laptop);
    await laptop.keyboard.press("Escape");
    assert.equal(await laptop.evaluate(() => document.activeElement.textContent), "Ring all");
    await laptop.keyboard.press("Enter");
    await laptop.keyboard.press("ArrowDown");
    await laptop.keyboard.press("Enter");
    await phone.getByText("Audio call").first().waitFor();
    await press(tv, "Accept");
    await Promise.all([hears(tv), hears(laptop), over(phone)]);
    assert.deepEqual(await laptop.evaluate(() => globalThis.asked), [["audio"]]);
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(tv)]);
    await laptop.getByRole("button", { name: "Ring all" }).click();
    await laptop.getByRole("menuitem", { name: "Share the screen" }).click();
    await phone.getByText("Wants to show its screen").waitFor();
    await press(phone, "Watch");
    await decodes(phone);
    await over(tv);
    await press(laptop, "Hang up");
    await Promise.all([over(laptop), over(phone)]);
  });
});
