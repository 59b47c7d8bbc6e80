// @ts-check
/** Dialogs and short notices. The browser's own <dialog> keeps the focus inside, and gives it back. */

import { byId, drawing, h } from "../common/dom.js";
import { ICONS } from "./icons.js";

let count = 0;

export class Dialogs {
  /** @param {(key: string) => string} t */
  constructor(t) {
    this.t = t;
  }

  /**
   * Open a dialog over the page. Escape and its cross close it.
   *
   * @param {object} options
   * @param {string | Node} options.title
   * @param {Node | Node[]} options.content
   * @param {{label: string, kind?: "primary" | "danger" | "", testid?: string, run?: () => any}[]} [options.actions]
   *   `run` may return false (or a promise of it) to keep the dialog open
   * @param {string} [options.testid]
   * @param {string} [options.kind] "wide" for a large one
   * @param {() => void} [options.onClose]
   * @returns {{element: HTMLDialogElement, close: () => void}}
   */
  open({ title, content, actions = [], testid = "", kind = "", onClose }) {
    const id = `dialog-${++count}`;
    const close = () => element.close();
    const cross = h("button", { class: "icon-button", type: "button", "aria-label": this.t("common.close"), on: { click: close } }, drawing(ICONS.cross));
    const element = h(
      "dialog",
      { class: `dialog ${kind}`.trim(), "aria-labelledby": id, dataset: testid ? { testid } : {} },
      h("div", { class: "dialog-head" }, h("h2", { id }, title), cross),
      h("div", { class: "dialog-body", tabindex: 0, role: "group", "aria-labelledby": id }, content),
      actions.length > 0 && h("div", { class: "dialog-foot" }, actions.map((action) => this.#button(action, close))),
    );
    element.addEventListener("close", () => { element.remove(); onClose?.(); });
    element.addEventListener("click", (/** @type {MouseEvent} */ event) => { if (event.target === element) close(); });
    document.body.append(element);
    element.showModal();
    element.querySelector("[autofocus]")?.focus();
    return { element, close };
  }

  /** @param {any} action @param {() => void} close */
  #button(action, close) {
    const click = async () => {
      button.disabled = true;
      try {
        if ((await action.run?.()) !== false) close();
      } finally {
        button.disabled = false;
      }
    };
    const button = h("button", { type: "button", class: action.kind ?? "", dataset: action.testid ? { testid: action.testid } : {}, on: { click } }, action.label);
    return button;
  }

  /**
   * Ask whether to go on. Fires with true when the person says so.
   * @param {{title: string | Node, text: string | Node | Node[], yes: string, danger?: boolean}} question
   * @returns {Promise<boolean>}
   */
  confirm({ title, text, yes, danger = false }) {
    return new Promise((resolve) => {
      let answer = false;
      this.open({
        title,
        content: h("p", null, text),
        testid: "confirm",
        actions: [
          { label: this.t("common.cancel") },
          { label: yes, kind: danger ? "danger" : "primary", testid: "confirm-yes", run: () => { answer = true; } },
        ],
        onClose: () => resolve(answer),
      });
    });
  }
}

/**
 * Show a short notice; it goes by itself, but not while the pointer or the focus is on it.
 * @param {string} text @param {"" | "bad" | "good"} [kind] @param {{label: string, run: () => void} | null} [action]
 */
export function toast(text, kind = "", action = null) {
  const gone = () => element.remove();
  const button = action && h("button", { class: "plain", type: "button", on: { click: () => { gone(); action.run(); } } }, action.label);
  const element = h("div", { class: `toast ${kind}`.trim(), role: kind === "bad" ? "alert" : "status" }, h("span", null, text), button);
  byId("toasts").append(element);
  const later = () => setTimeout(() => (element.matches(":hover, :focus-within") ? later() : gone()), 6000);
  later();
}
