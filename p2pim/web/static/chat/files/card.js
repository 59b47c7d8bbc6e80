// @ts-check
/** One transfer on the screen: what it is, how far it is, and what can be done about it. */

import { drawing, fill, h, name } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { isPicture, pictureView } from "./pictures.js";
import { asks, ended } from "./store.js";
import { facts, filesText, stateText } from "./words.js";

let count = 0;

/** What may be done, and when. */
const BUTTONS = [
  { verb: "accept", label: "files.accept", kind: "primary", when: asks },
  { verb: "accept-to", label: "files.accept-to", kind: "", when: asks },
  { verb: "reject", label: "files.reject", kind: "", when: asks },
  { verb: "pause", label: "files.pause", kind: "", when: (/** @type {any} */ s) => s.state === "running" || s.state === "waiting" },
  { verb: "resume", label: "files.resume", kind: "", when: (/** @type {any} */ s) => s.state === "paused" && s.paused !== "peer" },
  { verb: "leave", label: "files.leave", kind: "", when: mayBeLeft },
  { verb: "cancel", label: "files.cancel", kind: "", when: (/** @type {any} */ s) => !ended(s) && !asks(s) && s.state !== "finishing" },
  { verb: "show", label: "files.show-path", kind: "", when: isSomewhere },
];

/** Whether the server could keep it until its recipient comes. @param {any} s */
function mayBeLeft(s) {
  return s.direction === "out" && !s.expires && ["offered", "waiting", "paused"].includes(s.state);
}

/** Whether its path tells a person anything: the agent's own copy of what a page sent is gone by then. @param {any} s */
function isSomewhere(s) {
  return s.state === "completed" && Boolean(s.path) && !(s.direction === "out" && /\/outgoing\/[0-9a-f]{32}\//u.test(s.path));
}

export class Card {
  /**
   * @param {any} context what all cards share: `app`, `formats`, `act(verb, transfer)`
   * @param {any} transfer
   */
  constructor(context, transfer) {
    const id = `transfer-${++count}`;
    this.context = context;
    /** Those shown. @type {string | null} */
    this.buttons = null;
    this.title = h("h3", { class: "transfer-name", id });
    this.picture = h("div", { class: "transfer-picture", hidden: true });
    this.comment = h("p", { class: "transfer-comment", hidden: true });
    this.bar = h("progress", { class: "transfer-bar", max: 100, value: 0, "aria-labelledby": id });
    this.state = h("p", { class: "transfer-state", dataset: { testid: "transfer-state" } });
    this.facts = h("p", { class: "transfer-facts" });
    this.row = h("div", { class: "transfer-buttons" });
    this.element = h(
      "article",
      { class: "transfer", "aria-labelledby": id, dataset: { testid: "transfer", id: transfer.transfer } },
      h("div", { class: "transfer-head" }, drawing(transfer.folder ? ICONS.folder : ICONS.attach), this.title),
      this.picture, this.comment, this.bar, this.state, this.facts, this.row,
    );
    this.update(transfer);
  }

  /** Show how it stands now; nothing is made anew that need not be. @param {any} s */
  update(s) {
    const { t } = this.context.app;
    const { formats } = this.context;
    this.transfer = s;
    const { dataset } = this.element;
    dataset.state = s.state;
    dataset.direction = s.direction;
    dataset.route = s.route ?? "";
    if (dataset.name !== s.name) {
      dataset.name = s.name;
      fill(this.title, name(s.name));
    }
    this.comment.hidden = !s.comment;
    this.comment.textContent = s.comment;
    this.bar.hidden = ["completed", "disrupted", "stored"].includes(s.state) || (s.state === "offered" && !s.bytes);
    this.bar.value = formats.percent(s.bytes, s.total);
    this.bar.textContent = `${this.bar.value} %`;
    setText(this.state, stateText(t, formats, s));
    setText(this.facts, [filesText(t, s), ...facts(t, formats, s)].filter(Boolean).join(" · "));
    this.#picture(s);
    this.#buttons(s);
  }

  /** @param {any} s */
  #picture(s) {
    const shown = isPicture(s);
    if (shown === !this.picture.hidden) return;
    this.picture.hidden = !shown;
    if (shown) fill(this.picture, pictureView(this.context.app, s));
    else fill(this.picture);
  }

  /** The buttons are kept while they are the same ones: the focus stays where it is. @param {any} s */
  #buttons(s) {
    const wanted = BUTTONS.filter((button) => button.when(s));
    const verbs = wanted.map((button) => button.verb).join(" ");
    if (verbs === this.buttons) return;
    const focused = this.row.contains(document.activeElement);
    this.buttons = verbs;
    fill(this.row, wanted.map((button) => this.#button(button)), this.#download(s));
    this.row.hidden = this.row.childElementCount === 0;
    if (focused) this.row.querySelector("button, a")?.focus();
  }

  /** @param {any} button */
  #button({ verb, label, kind }) {
    const { t } = this.context.app;
    const text = t(label);
    const click = async () => {
      element.disabled = true;
      await this.context.act(verb, this.transfer, this.element);
      element.disabled = false;
    };
    const element = h(
      "button", { type: "button", class: kind, "aria-label": t("files.of-file", { verb: text, name: this.transfer.name }), dataset: { testid: verb }, on: { click } }, text,
    );
    return element;
  }

  /** @param {any} s */
  #download(s) {
    if (s.state !== "completed" || s.direction !== "in" || s.folder) return null;
    const { t } = this.context.app;
    const text = t("files.save-copy");
    return h("a", {
      class: "button", href: fileAddress(s), download: s.name, "aria-label": t("files.of-file", { verb: text, name: s.name }), dataset: { testid: "download" },
    }, text);
  }
}

/** Where the bytes of a single file are. @param {any} s */
function fileAddress(s) {
  return `/api/1/transfers/${encodeURIComponent(s.transfer)}/file`;
}

/** @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
}
