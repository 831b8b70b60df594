// Signing up and in.

import { h, put, svg } from "./dom.js";
import { icon, mark } from "./icons.js";
import { button, field } from "./parts.js";

/**
 * @param {object} parts
 * @param {import("../client/index.js").Streamz} parts.streamz
 * @param {boolean} parts.joining whether the link to add a device was followed
 * @param {string} [parts.notice] why somebody who was signed in is here again
 * @param {boolean} [parts.known] whether somebody has signed in here before
 */
export function authPage({ streamz, joining, notice, known }) {
  let registering = !joining && !known;
  const email = field({ label: "Email", name: "email", type: "email", autocomplete: "username", required: true, inputmode: "email", spellcheck: "false" });
  const password = field({ label: "Password", name: "password", type: "password", required: true, minlength: "8", maxlength: "128" });
  const reveal = h("button", { class: "reveal", type: "button", aria: { label: "Show the password", pressed: "false" } }, icon("eye"));
  password.element.append(reveal);
  const failure = h("p", { class: "form-error", role: "alert", hidden: true });
  const title = h("h1", { tabindex: "-1" });
  const lead = h("p", { class: "soft auth-lead" });
  const submit = button("", () => {}, { kind: "primary wide", type: "submit" });
  const other = h("button", { class: "text-button", type: "button" });
  const question = h("span", { class: "soft" });
  const form = h("form", { class: "auth-form", novalidate: true, onsubmit: send }, email.element, password.element, failure, submit);

  reveal.addEventListener("click", () => {
    const shown = password.input.type === "password";
    password.input.type = shown ? "text" : "password";
    reveal.setAttribute("aria-pressed", String(shown));
  });
  other.addEventListener("click", () => {
    registering = !registering;
    show();
    title.focus();
  });

  function show() {
    title.textContent = registering ? "Create your account" : joining ? "Add this device" : "Welcome back";
    lead.textContent = registering ? "One account for all your devices."
      : joining ? "Sign in with your account, and this device joins the others." : "Sign in to bring this device online.";
    put(submit, h("span", {}, registering ? "Create account" : "Sign in"));
    question.textContent = registering ? "You have an account?" : "New here?";
    other.textContent = registering ? "Sign in" : "Create an account";
    password.input.autocomplete = registering ? "new-password" : "current-password";
    failure.hidden = true;
    for (const each of [email, password]) each.wrong("");
  }

  async function send(event) {
    event.preventDefault();
    const given = { email: email.input.value.trim(), password: password.input.value };
    email.wrong(given.email ? "" : "Your email address, please.");
    password.wrong(given.password.length >= 8 || !registering ? "" : "At least 8 characters.");
    failure.hidden = true;
    const wrong = form.querySelector('[aria-invalid="true"]');
    if (wrong) return wrong.focus();
    submit.disabled = true;
    submit.classList.add("busy");
    try {
      await (registering ? streamz.register(given) : streamz.login(given));
    } catch (error) {
      explain(error);
    } finally {
      submit.disabled = false;
      submit.classList.remove("busy");
    }
  }

  function explain(error) {
    for (const { field: name, message } of error.fields ?? []) {
      if (name === "email") email.wrong(message);
      if (name === "password") password.wrong(message);
    }
    const wrong = form.querySelector('[aria-invalid="true"]');
    if (wrong) return wrong.focus();
    const wait = error.retryAfterMs ? ` Try again in ${Math.ceil(error.retryAfterMs / 1000)} seconds.` : "";
    failure.textContent = sentence(error, registering) + wait;
    failure.hidden = false;
  }

  show();
  return h("main", { class: "auth", id: "main" },
    h("section", { class: "auth-side" },
      h("div", { class: "brand" }, mark(), h("span", {}, "Streamz")),
      h("div", { class: "auth-box" }, title, lead,
        notice && h("p", { class: "notice" }, icon("warn"), h("span", {}, notice)),
        form, h("p", { class: "auth-other" }, question, " ", other)),
      h("p", { class: "auth-foot faint" }, "Media flows from device to device, encrypted.")),
    h("section", { class: "hero", aria: { hidden: "true" } }, hero(),
      h("p", { class: "hero-words" }, "Any screen, any camera,", h("br"), "one tap away."),
      h("p", { class: "hero-small" }, "Phone to television, laptop to phone, camera to everything.")));
}

function sentence(error, registering) {
  switch (error.code) {
    case "invalid_credentials":
      return "No account has this email address with this password.";
    case "email_taken":
      return "There is an account with this email address already: sign in instead.";
    case "network":
      return "The server cannot be reached.";
    case "rate_limited":
    case "too_many_attempts":
      return registering ? "Too many tries." : "Too many tries for this account.";
    default:
      return error.message;
  }
}

/** Devices and what flows between them. */
function hero() {
  const path = (d, slow) => svg("path", { class: slow ? "hero-flow slow" : "hero-flow", d });
  const line = (d) => svg("path", { class: "hero-line", d });
  const lines = ["M150 316C210 316 196 150 268 150", "M150 316c90 0 110 118 196 118", "M372 150c70 0 62 196-8 252"];
  return svg("svg", { class: "hero-art", viewBox: "0 0 520 540" },
    svg("circle", { class: "hero-halo", cx: "260", cy: "280", r: "236" }),
    svg("circle", { class: "hero-halo", cx: "260", cy: "280", r: "166" }),
    svg("circle", { class: "hero-halo", cx: "260", cy: "280", r: "96" }),
    lines.map(line), lines.map((d, at) => path(d, at === 1)),
    // A television.
    svg("g", { class: "hero-device" },
      svg("rect", { x: "226", y: "72", width: "208", height: "128", rx: "14" }),
      svg("rect", { class: "hero-screen", x: "236", y: "82", width: "188", height: "108", rx: "8" }),
      svg("path", { class: "hero-hill", d: "M236 182l46-44 30 26 40-40 72 58a8 8 0 0 1-8 8H244a8 8 0 0 1-8-8Z" }),
      svg("circle", { class: "hero-sun", cx: "284", cy: "112", r: "12" }),
      svg("path", { class: "hero-foot", d: "M292 214h76" })),
    // A phone.
    svg("g", { class: "hero-device" },
      svg("rect", { x: "84", y: "236", width: "84", height: "164", rx: "18" }),
      svg("rect", { class: "hero-screen", x: "92", y: "244", width: "68", height: "148", rx: "12" }),
      svg("circle", { class: "hero-face", cx: "126", cy: "300", r: "15" }),
      svg("path", { class: "hero-face", d: "M98 360a28 28 0 0 1 56 0v20a12 12 0 0 1-12 12h-32a12 12 0 0 1-12-12Z" }),
      svg("circle", { class: "hero-live", cx: "148", cy: "256", r: "4" })),
    // A laptop.
    svg("g", { class: "hero-device" },
      svg("rect", { x: "302", y: "366", width: "150", height: "100", rx: "12" }),
      svg("rect", { class: "hero-screen", x: "310", y: "374", width: "134", height: "84", rx: "7" }),
      svg("path", { class: "hero-wave", d: "M326 418h16l8-20 14 40 12-30 8 10h42" }),
      svg("path", { class: "hero-base", d: "M284 478h186" })));
}
