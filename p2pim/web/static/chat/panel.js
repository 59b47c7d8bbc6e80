// @ts-check
/** The panel beside the conversation: details of it, or whatever else is looked at next to it; a sheet on narrow windows. */

import { byId, drawing, fill, h } from "../common/dom.js";
import { ICONS } from "./icons.js";

export class Panel {
  /** @param {(key: string) => string} t */
  constructor(t) {
    this.t = t;
    this.element = byId("panel");
    /** What is open: the `testid` given, or "". */
    this.shown = "";
    /** @type {(() => void) | undefined} */
    this.onClose = undefined;
    /** @type {HTMLElement | null} */
    this.before = null;
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== "Escape" || event.defaultPrevented) return;
      event.preventDefault();
      this.close();
    });
  }

  /**
   * Show `content`; what was shown before is closed.
   * @param {{title: string | Node, content: Node | Node[], testid?: string, onClose?: () => void}} options
   */
  open({ title, content, testid = "panel", onClose }) {
    this.#end();
    this.before = /** @type {HTMLElement} */ (document.activeElement);
    this.shown = testid;
    this.onClose = onClose;
    const cross = h("button", { class: "icon-button", type: "button", "aria-label": this.t("common.close"), on: { click: () => this.close() } }, drawing(ICONS.cross));
    const heading = h("h2", { tabindex: -1, id: "panel-title" }, title);
    fill(this.element, h("div", { class: "panel-head" }, heading, cross), h("div", { class: "panel-body", tabindex: 0, role: "group", "aria-labelledby": "panel-title" }, content));
    this.element.dataset.testid = testid;
    this.element.hidden = false;
    document.body.dataset.panel = testid;
    heading.focus({ preventScroll: true });
  }

  /** Close it, whatever is in it. */
  close() {
    if (!this.shown) return;
    this.#end();
    this.element.hidden = true;
    delete document.body.dataset.panel;
    fill(this.element);
    if (this.before?.isConnected) this.before.focus();
  }

  #end() {
    const { onClose } = this;
    this.shown = "";
    this.onClose = undefined;
    onClose?.();
  }
}
