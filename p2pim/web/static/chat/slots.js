// @ts-check
/** Rows of icon buttons to which features add theirs: the page's menu, and that of a conversation. */

import { drawing, h } from "../common/dom.js";

/** @typedef {{label: string, icon: string, testid?: string, order?: number, pressed?: boolean, run: (event: Event) => void, when?: (user: string) => boolean}} Entry */
/** @typedef {{button: HTMLButtonElement, setBadge: (count: number) => void}} Added */

/** Icon buttons in `element`, which is a toolbar: arrow keys go from one to the next. */
export class Buttons {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {{button: HTMLButtonElement, entry: Entry}[]} */
    this.entries = [];
    element.addEventListener("keydown", (event) => this.#move(event));
  }

  /**
   * Add a button; smaller `order` comes first. `when(user)` says whether it is there for a conversation.
   * @param {Entry} entry @returns {Added}
   */
  add(entry) {
    const button = h(
      "button",
      { class: "icon-button", type: "button", title: entry.label, "aria-label": entry.label, dataset: { ...(entry.testid ? { testid: entry.testid } : {}), order: String(entry.order ?? 50) }, on: { click: entry.run } },
      drawing(entry.icon),
    );
    const next = [...this.element.children].find((child) => Number(/** @type {HTMLElement} */ (child).dataset.order ?? 0) > (entry.order ?? 50));
    this.element.insertBefore(button, next ?? null);
    this.entries.push({ button, entry });
    return { button, setBadge: (count) => badge(button, entry.label, count) };
  }

  /** The conversation is with `user` now. @param {string | null} user */
  update(user) {
    for (const { button, entry } of this.entries) button.hidden = user === null || !(entry.when?.(user) ?? true);
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined || event.target instanceof HTMLSelectElement) return;
    const stops = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll("button:not([hidden]), select")]);
    const at = stops.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const way = getComputedStyle(this.element).direction === "rtl" ? -step : step;
    stops[(at + way + stops.length) % stops.length]?.focus();
    event.preventDefault();
  }
}

/** Show a count on `button`, and tell it in its name. @param {HTMLButtonElement} button @param {string} label @param {number} count */
function badge(button, label, count) {
  button.querySelector(".badge")?.remove();
  button.setAttribute("aria-label", count > 0 ? `${label} (${count})` : label);
  if (count > 0) button.append(h("span", { class: "badge", "aria-hidden": "true" }, count > 99 ? "99+" : count));
}
