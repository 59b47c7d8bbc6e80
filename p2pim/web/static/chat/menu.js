// @ts-check
/** Menus that open beside a button: arrows go through them, Escape closes them. */

import { drawing, h } from "../common/dom.js";

/** @typedef {{label: string | Node, icon?: string, danger?: boolean, testid?: string, checked?: boolean, run: () => void} | null | false} Item */

/** @type {(() => void) | null} */
let closeOpen = null;

/**
 * Open a menu beside `anchor`.
 * @param {HTMLElement} anchor @param {Item[]} items null and false are left out @param {{label?: string, testid?: string}} [options]
 */
export function openMenu(anchor, items, { label = "", testid = "" } = {}) {
  closeOpen?.();
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const list = h("div", { class: "menu", role: "menu", popover: "manual", "aria-label": label || anchor.getAttribute("aria-label"), dataset: testid ? { testid } : {} });
  const close = (back = true) => {
    closeOpen = null;
    document.removeEventListener("pointerdown", outside, true);
    list.remove();
    anchor.setAttribute("aria-expanded", "false");
    if (back && before?.isConnected) before.focus();
  };
  const outside = (/** @type {Event} */ event) => { if (!list.contains(/** @type {Node} */ (event.target))) close(false); };
  for (const item of items) if (item) list.append(row(item, close));
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => keys(event, list, close));
  (anchor.closest("dialog") ?? document.body).append(list);
  list.showPopover();
  place(list, anchor);
  anchor.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  closeOpen = close;
  list.querySelector("button")?.focus();
}

/** @param {Exclude<Item, null | false>} item @param {(back?: boolean) => void} close */
function row(item, close) {
  const run = () => { close(); item.run(); };
  const choice = item.checked === undefined ? { role: "menuitem" } : { role: "menuitemradio", "aria-checked": String(item.checked) };
  return h(
    "button",
    { ...choice, type: "button", tabindex: -1, class: item.danger ? "danger" : "", dataset: item.testid ? { testid: item.testid } : {}, on: { click: run } },
    item.icon && drawing(item.icon), h("span", null, item.label),
  );
}

/** @param {KeyboardEvent} event @param {HTMLElement} list @param {(back?: boolean) => void} close */
function keys(event, list, close) {
  const rows = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("button")]);
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = { ArrowDown: at + 1, ArrowUp: at - 1 + rows.length, Home: 0, End: rows.length - 1 }[event.key];
  if (next !== undefined) rows[next % rows.length].focus();
  else if (event.key === "Escape" || event.key === "Tab") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Under `anchor`, or over it where there is no room. @param {HTMLElement} list @param {HTMLElement} anchor */
function place(list, anchor) {
  const by = anchor.getBoundingClientRect();
  const size = list.getBoundingClientRect();
  const below = by.bottom + 4 + size.height <= innerHeight || by.top < size.height;
  const left = getComputedStyle(anchor).direction === "rtl" || by.left + size.width > innerWidth - 8 ? by.right - size.width : by.left;
  list.style.top = `${Math.max(8, below ? by.bottom + 4 : by.top - size.height - 4)}px`;
  list.style.left = `${Math.min(Math.max(8, left), innerWidth - size.width - 8)}px`;
}
