// @ts-check
/** Elements without markup: whatever people write gets into the page as text, and in no other way. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * `props`: `class`, `dataset` {…}, `on` {event: listener}, `style` {property: value}; properties of the element where it
 * has them (`value`, `checked`, `disabled`…), attributes otherwise. null, undefined and false leave an attribute out.
 * Children: nodes, strings, numbers, arrays of them; null and false are nothing.
 *
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...any} children
 * @returns {any}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) assign(element, name, value);
  append(element, children);
  return element;
}

const AS_PROPERTY = new Set(["value", "checked", "disabled", "hidden", "selected", "open", "multiple", "inert", "tabIndex"]);

/** @param {any} element @param {string} name @param {any} value */
function assign(element, name, value) {
  if (name === "class") element.className = value ?? "";
  else if (name === "dataset") Object.assign(element.dataset, value);
  else if (name === "style") for (const [property, text] of Object.entries(value)) element.style.setProperty(property, String(text));
  else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  else if (AS_PROPERTY.has(name)) element[name] = value;
  else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
}

/** Put children (see `h`) at the end of `parent`. @param {Node} parent @param {any[]} children */
export function append(parent, children) {
  for (const child of children) {
    if (Array.isArray(child)) append(parent, child);
    else if (child !== null && child !== undefined && child !== false) {
      parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
}

/** Replace everything in `parent`. @param {Element} parent @param {...any} children */
export function fill(parent, ...children) {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  parent.replaceChildren(fragment);
}

/**
 * A name or anything else that somebody chose: isolated, so that its direction changes nothing around it.
 * @param {string} text @param {Record<string, any>} [props]
 */
export function name(text, props) {
  return h("bdi", props ?? null, text);
}

/**
 * A drawing of 24 × 24, made of one path, in the colour of the text; decoration that screen readers skip.
 * @param {string} path @param {string} [kind] class beside "icon"
 */
export function drawing(path, kind = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon ${kind}`.trim());
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.appendChild(line);
  return svg;
}

/** The element of that id, which the template promises. @param {string} id @returns {any} */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no #${id}.`);
  return found;
}

/** Call `work` once per frame at most, or soon when the page is not shown. @param {() => void} work */
export function perFrame(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    const run = () => { waiting = false; work(); };
    if (document.hidden) setTimeout(run, 50);
    else requestAnimationFrame(run);
  };
}
