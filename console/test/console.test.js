// A person uses the console, in Chromium, against a server.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { startProxy } from "../../clients/js/test/support/server.js";
import { assertAccessible, assertClean, decodes, launch, live, openPage, person, rename, serve, signIn, signUp } from "./support/console.js";

let server;
let browser;
let contexts = [];
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

async function newContext(options = {}) {
  const context = await browser.newContext({ permissions: ["camera", "microphone"], ...options });
  contexts.push(context);
  return context;
}

/** Two browsers of one person, a laptop and a television. */
async function two() {
  const account = person();
  const laptop = await openPage(await newContext(), server.url);
  await signUp(laptop, account);
  await rename(laptop, "Laptop", "laptop");
  const tv = await openPage(await newContext(), server.url, "/#join");
  await tv.getByRole("heading", { name: "Add this device" }).waitFor();
  await signIn(tv, account);
  await rename(tv, "Television", "tv");
  await laptop.getByRole("heading", { name: "Television" }).waitFor();
  return { account, laptop, tv };
}

const clean = (...pages) => pages.forEach((page) => assertClean(page, server.url));
const over = (page) => page.getByRole("dialog").waitFor({ state: "detached" });

describe("the console", () => {
  it("one tap, and both see each other; the history has it", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Video call Television" }).click();
    await tv.waitForFunction(() => document.title.includes("Laptop rings"));
    await assertAccessible(tv);
    await tv.getByRole("button", { name: "Accept" }).click();
    await Promise.all([decodes(laptop), decodes(tv)]);
    await laptop.locator(".call-line .path", { hasText: "Direct" }).waitFor();
    await laptop.getByText("kbit/s").first().waitFor();
    for (const page of [laptop, tv]) await assertAccessible(page);

    await laptop.getByRole("button", { name: "Mute" }).click();
    await laptop.getByRole("button", { name: "Unmute" }).waitFor();
    await laptop.getByRole("button", { name: "Turn camera off" }).click();
    await laptop.getByRole("button", { name: "Turn camera on" }).click();
    await laptop.getByRole("button", { name: "Full screen" }).click();
    await laptop.waitForFunction(() => document.fullscreenElement?.classList.contains("stage"));
    await laptop.evaluate(() => document.exitFullscreen());
    await laptop.getByRole("button", { name: "Hang up" }).click();
    await Promise.all([over(laptop), over(tv)]);
    for (const page of [laptop, tv]) {
      await page.getByRole("link", { name: "History" }).click();
      await page.locator(".row", { hasText: "Video call" }).getByText("Direct").waitFor();
    }
    clean(laptop, tv);
  });

  it("the page holds its policy", async () => {
    const context = await newContext();
    const page = await context.newPage();
    const answer = await page.goto(server.url);
    const policy = answer.headers()["content-security-policy"];
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.match(policy, /frame-ancestors 'none'; base-uri 'none'; form-action 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    // And the browser keeps to it.
    const reported = page.evaluate(() => new Promise((resolve) => document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective), { once: true })));
    await page.evaluate(() => void fetch("http://127.0.0.1:9/").catch(() => {}));
    assert.equal(await reported, "connect-src");
  });

  it("each tab is a device; a name outlives a reload; removed is said, and can be undone", async () => {
    const context = await newContext();
    const first = await openPage(context, server.url);
    await signUp(first, person());
    await rename(first, "First", "laptop");
    const second = await openPage(context, server.url);
    await live(second);
    await rename(second, "Second", "tv");
    await first.getByRole("heading", { name: "Second" }).waitFor();
    await second.reload();
    await live(second);
    assert.equal(await second.locator(".own h2").textContent(), "Second");
    await first.getByText("2 devices, 2 online").waitFor();
    await first.getByRole("button", { name: "More for Second" }).click();
    await first.keyboard.press("End");
    await first.keyboard.press("Enter");
    await first.getByRole("button", { name: "Remove", exact: true }).click();
    await second.getByRole("alert").getByText("was removed").waitFor();
    assert.equal(await second.locator(".pill").getAttribute("data-kind"), "offline");
    await second.getByRole("button", { name: "Add it again" }).click();
    await live(second);
    await first.getByText("2 devices, 2 online").waitFor();
    clean(first, second);
  });

  it("a camera that may be watched shows its picture without a ring", async () => {
    const { laptop, tv } = await two();
    await tv.getByRole("switch", { name: "Answer as a camera" }).click();
    await laptop.getByRole("button", { name: "Ask for the picture of Television" }).click();
    await decodes(laptop);
    await tv.getByText("Laptop watches this camera", { exact: true }).waitFor();
    await tv.getByRole("button", { name: "Stop showing this camera" }).click();
    await over(laptop);
    await tv.getByText("Laptop watches this camera", { exact: true }).waitFor({ state: "hidden" });
    clean(laptop, tv);
  });

  it("all ring, one declines, one answers by voice; a reload does not end the call", async () => {
    const { account, laptop, tv } = await two();
    const phone = await openPage(await newContext(), server.url);
    await signIn(phone, account);
    await rename(phone, "Phone", "phone");
    await laptop.getByText("3 devices, 3 online").waitFor();
    await laptop.getByRole("button", { name: "Ring all" }).click();
    await laptop.getByRole("menuitem", { name: "Video call" }).click();
    await tv.getByRole("button", { name: "Decline" }).click();
    await phone.getByRole("button", { name: "Answer without camera" }).click();
    await decodes(phone);
    await phone.reload();
    await decodes(phone);
    await laptop.getByRole("button", { name: "Hang up" }).click();
    await over(phone);
    clean(laptop, tv, phone);
  });

  it("messages and a file arrive", async () => {
    const { laptop, tv } = await two();
    await laptop.getByRole("button", { name: "Messages and files with Television" }).click();
    await tv.getByRole("button", { name: "Open", exact: true }).click();
    await laptop.getByLabel("Message", { exact: true }).fill("<b>hello</b>");
    await laptop.keyboard.press("Enter");
    await tv.getByText("<b>hello</b>").waitFor();
    const buffer = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 251));
    await laptop.getByLabel("Files to send").setInputFiles({ name: "film.bin", mimeType: "video/mp4", buffer });
    const downloading = tv.waitForEvent("download");
    await tv.getByRole("link", { name: /film\.bin/ }).click();
    const chunks = [];
    for await (const chunk of await (await downloading).createReadStream()) chunks.push(chunk);
    assert.deepEqual(Buffer.concat(chunks), buffer);
    clean(laptop, tv);
  });

  it("signing out ends it in every tab of the browser; a wrong password is said", async () => {
    const context = await newContext();
    const account = person();
    const first = await openPage(context, server.url);
    await signUp(first, account);
    const second = await openPage(context, server.url);
    await live(second);
    await first.getByRole("button", { name: /^Account of/ }).click();
    await first.getByRole("menuitem", { name: "Sign out" }).click();
    for (const page of [first, second]) await page.getByRole("heading", { name: "Welcome back" }).waitFor();
    await first.getByLabel("Email").fill(account.email);
    await first.getByLabel("Password", { exact: true }).fill("not the password");
    await first.getByRole("button", { name: "Sign in", exact: true }).click();
    await first.getByRole("alert").getByText("No account has this email address with this password.").waitFor();
    await assertAccessible(first);
    await signIn(first, account);
    await live(second);
  });

  it("a lost connection is said, with what it means, and so is its return", async () => {
    const proxy = await startProxy(Number(new URL(server.url).port));
    const page = await openPage(await newContext(), proxy.url);
    await signUp(page, person());
    const pill = (kind, text) => page.locator(`.pill[data-kind="${kind}"]`, { hasText: text }).waitFor({ timeout: 15_000 });
    proxy.refuse(true);
    proxy.cut();
    await pill("degraded", "Reconnecting");
    await page.locator(".pill").click();
    await page.getByText("The connection was lost. Calls go on meanwhile.").waitFor();
    proxy.refuse(false);
    await pill("resumed", "Resumed");
    await pill("live", "Live");
    await page.context().close();
    contexts = [];
    await proxy.stop();
  });

  it("the theme is chosen, and kept", async () => {
    const context = await newContext({ colorScheme: "light" });
    const page = await openPage(context, server.url);
    await signUp(page, person());
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), "light");
    await page.getByRole("button", { name: /^Theme/ }).click();
    await page.getByRole("menuitemradio", { name: "Dark" }).click();
    assert.equal(await theme(), "dark");
    await page.reload();
    assert.equal(await theme(), "dark");
    await page.emulateMedia({ colorScheme: "dark" });
    clean(page);
  });
});
