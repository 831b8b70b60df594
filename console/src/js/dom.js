// Elements, made without markup: what people typed can never become a tag.

const SVG = "http://www.w3.org/2000/svg";

/**
 * `h("button", { class: "b", onclick: f, aria: { label: "Close" } }, "×")`. Children that are null or false are left out.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...any} children
 * @returns {any}
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any} */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "aria") for (const [key, said] of Object.entries(value)) setAria(element, key, said);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "srcObject" || name === "muted") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** @param {Element} element @param {string} key @param {any} said */
export function setAria(element, key, said) {
  if (said === undefined || said === null) element.removeAttribute(`aria-${key}`);
  else element.setAttribute(`aria-${key}`, String(said));
}

/** Puts children in place of what was there. @param {Element} element @param {...any} children */
export function put(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

/** Changes a text only if it is another one, so that screen readers are not told the same again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
