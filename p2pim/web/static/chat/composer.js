// @ts-check
/** Where messages are written. Enter sends and Shift+Enter breaks the line; while an input method composes, Enter is its own. */

import { byId, drawing } from "../common/dom.js";
import { draftOf, keepDraft } from "./drafts.js";
import { ICONS } from "./icons.js";
import { LONGEST } from "./outgoing.js";

/** Between two typing notices (ms). */
const TYPING_EVERY = 3000;

/** @param {any} app */
export function mount(app) {
  app.composer = new Composer(app);
}

/** Bytes of `text` in UTF-8. @param {string} text */
const bytes = (text) => new TextEncoder().encode(text).length;

class Composer {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.form = byId("composer");
    this.field = byId("composer-text");
    this.button = byId("composer-send");
    this.button.append(drawing(ICONS.send));
    this.user = null;
    this.told = 0;
    this.composing = false;
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.field.addEventListener("compositionstart", () => { this.composing = true; });
    // Safari tells of the Enter that ends a composition after its end.
    this.field.addEventListener("compositionend", () => setTimeout(() => { this.composing = false; }));
    this.form.addEventListener("submit", (/** @type {Event} */ event) => { event.preventDefault(); this.send(); });
    addEventListener("pagehide", () => this.keep());
    app.state.on("current", () => this.turn(app.state.current));
  }

  /** The conversation is with `user` now. @param {string | null} user */
  turn(user) {
    if (user === this.user) return;
    this.keep();
    this.user = user;
    this.field.value = user === null ? "" : draftOf(user);
    this.told = 0;
    this.fit();
  }

  keep() {
    if (this.user === null) return;
    keepDraft(this.user, this.field.value);
    this.app.state.touch("drafts");
  }

  typed() {
    this.fit();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.keep(), 400);
    const now = Date.now();
    if (!this.user || !this.field.value || now - this.told < TYPING_EVERY) return;
    this.told = now;
    this.app.api.call("typing", { user: this.user }).catch(() => {});
  }

  /** As high as the text, within the limits of its style. */
  fit() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight + 2}px`;
    const blank = this.field.value.trim() === "";
    const tooLong = this.field.value.length > LONGEST / 4 && bytes(this.field.value) > LONGEST;
    this.button.disabled = blank || tooLong;
    this.field.setCustomValidity(tooLong ? this.app.t("chat.too_long") : "");
    if (tooLong) this.field.reportValidity();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.altKey) return;
    if (event.isComposing || this.composing || event.keyCode === 229) return;
    event.preventDefault();
    this.send();
  }

  send() {
    const text = this.field.value.replace(/^\s*\n|\s+$/gu, "");
    if (!this.user || !text || this.form.hidden || bytes(text) > LONGEST) return;
    this.field.value = "";
    this.told = 0;
    this.keep();
    this.fit();
    this.app.outgoing.send(this.user, text);
    this.field.focus();
  }

  /** Write here as soon as the conversation is shown. */
  focusSoon() {
    this.soon = true;
    requestAnimationFrame(() => requestAnimationFrame(() => this.shown()));
  }

  /** The field may be there now. */
  shown() {
    if (!this.soon || this.form.hidden) return;
    this.soon = false;
    this.field.focus();
  }

  /** Write here. @param {string} [text] put in, if given */
  focus(text) {
    if (text) this.field.value = text;
    if (!this.form.hidden) this.field.focus();
  }
}
