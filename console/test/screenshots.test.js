// Every page, at two widths and in both themes, for people to look at: target/console-screenshots.

import { after, before, describe, it } from "node:test";
import { assertAccessible, decodes, launch, live, openPage, person, rename, serve, shoot, signIn, signUp } from "./support/console.js";

const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };

let server;
let browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function context(size, theme) {
  return browser.newContext({ viewport: SIZES[size], colorScheme: theme, permissions: ["camera", "microphone"], locale: "en-GB", deviceScaleFactor: size === "narrow" ? 2 : 1 });
}

/** Waits until the chart shows so many seconds of a call. */
async function charted(page, seconds) {
  await page.waitForFunction((points) => (document.querySelector(".chart-line.received")?.getAttribute("d") ?? "").split(/[ML]/).length > points, seconds);
}

describe("the console, seen", { concurrency: 2 }, () => {
  for (const size of Object.keys(SIZES)) {
    for (const theme of ["light", "dark"]) {
      it(`${size}, ${theme}`, async () => {
        const account = { ...person(), email: `ada-${size}-${theme}-${Date.now()}@example.org` };
        const [own, others] = [await context(size, theme), await context("wide", theme)];
        const ada = await openPage(own, server.url);
        const named = (name) => shoot(ada, `${size}-${theme}-${name}`);
        await ada.getByLabel("Email").waitFor();
        await named("1-sign-in");
        await assertAccessible(ada);
        await signUp(ada, account);
        await rename(ada, "Ada’s MacBook", "laptop");
        await named("2-first-device");
        const tv = await openPage(others, server.url);
        await signIn(tv, account);
        await rename(tv, "Living room", "tv");
        const camera = await openPage(others, server.url);
        await live(camera);
        await rename(camera, "Porch camera", "camera");
        const phone = await openPage(others, server.url);
        await live(phone);
        await rename(phone, "Ada’s phone", "phone");
        await phone.close();
        await ada.getByText("3 online").waitFor({ timeout: 15_000 });
        await named("3-devices");
        await assertAccessible(ada);
        await ada.getByRole("button", { name: "More for Living room" }).click();
        await named("3-devices-menu");
        await ada.keyboard.press("Escape");
        await ada.getByRole("button", { name: "Ring all" }).click();
        await named("3-devices-ring-all");
        await ada.keyboard.press("Escape");
        await ada.getByRole("switch", { name: "Answer as a camera" }).click();
        await live(ada);
        await tv.getByRole("button", { name: "Ask for the picture of Ada’s MacBook" }).click();
        await decodes(tv);
        await ada.locator(".toast").first().waitFor({ state: "detached" });
        await named("3-devices-watched");
        await assertAccessible(ada);
        await ada.getByRole("switch", { name: "Answer as a camera" }).click();
        await tv.getByRole("dialog").waitFor({ state: "detached" });
        await live(ada);
        await ada.getByRole("button", { name: "Add device" }).click();
        await named("4-add-device");
        await assertAccessible(ada);
        await ada.getByRole("button", { name: "Done" }).click();

        await tv.getByRole("button", { name: "Video call Ada’s MacBook" }).click();
        await ada.getByRole("button", { name: "Accept" }).waitFor();
        await named("5-ring");
        await assertAccessible(ada);
        await ada.getByRole("button", { name: "Accept" }).click();
        await decodes(ada);
        await charted(ada, 6);
        await named("6-call");
        await assertAccessible(ada);
        const show = ada.getByRole("button", { name: "Show the connection" });
        if (await show.isVisible()) {
          await show.click();
          await named("6-call-connection");
        }
        await ada.getByRole("button", { name: "Hang up" }).click();
        await ada.getByRole("dialog").waitFor({ state: "detached" });

        for (const [button, answer] of [["Audio call Ada’s MacBook", "Decline"], ["Messages and files with Ada’s MacBook", "Open"]]) {
          await tv.getByRole("button", { name: button }).click();
          await ada.getByRole("button", { name: answer, exact: true }).click();
        }
        await tv.getByLabel("Message", { exact: true }).fill("The film starts at eight.");
        await tv.keyboard.press("Enter");
        await ada.getByText("The film starts at eight.").waitFor();
        await ada.getByLabel("Message", { exact: true }).fill("On my way down!");
        await ada.keyboard.press("Enter");
        await tv.getByText("On my way down!").waitFor();
        await named("7-messages");
        await assertAccessible(ada);
        await ada.getByRole("button", { name: "Hang up" }).click();
        await ada.getByRole("button", { name: "Ask for the picture of Porch camera" }).click();
        await camera.getByRole("button", { name: "Share camera" }).click();
        await decodes(ada);
        await named("8-picture");
        await ada.getByRole("button", { name: "Hang up" }).click();
        await ada.getByRole("link", { name: "History" }).click();
        await ada.getByText("5 streams").waitFor();
        // What is said in passing has gone.
        await ada.locator(".toast").first().waitFor({ state: "detached" });
        await named("9-history");
        await assertAccessible(ada);
        for (const each of [own, others]) await each.close();
      });
    }
  }
});
