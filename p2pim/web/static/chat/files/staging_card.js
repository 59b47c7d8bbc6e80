// @ts-check
/** What is on its way to the agent, in the conversation: how far, and what went wrong; afterwards a transfer takes its place. */

import { drawing, fill, h, perFrame } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { Staging } from "./staging.js";

/** Files and folders up to which each is sent for itself; more go together, as one folder. */
const MOST_APART = 12;

let count = 0;
let underWay = 0;

window.addEventListener("beforeunload", (event) => {
  if (underWay > 0) event.preventDefault(); // the agent has not got all of it yet
});

export class StagingCard {
  /**
   * Begins at once.
   * @param {any} context see `Card` @param {string} user @param {import("./gather.js").Entry[]} entries
   * @param {{name: string, folder: boolean}[]} tops @param {{comment: string, route: string}} how
   */
  constructor(context, user, entries, tops, how) {
    const { t } = context.app;
    this.context = context;
    this.user = user;
    this.how = how;
    this.parts = apart(entries, tops.length);
    /** Of the parts that have been sent. */
    this.before = 0;
    this.filesBefore = 0;
    this.total = entries.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
    this.files = entries.filter(({ file }) => file !== null).length;
    this.cancelled = false;
    /** @type {Staging | null} */
    this.staging = null;
    this.id = `staging-${++count}`;
    this.bar = h("progress", { class: "transfer-bar", max: 100, value: 0, "aria-labelledby": this.id });
    this.state = h("p", { class: "transfer-state", role: "status" });
    this.facts = h("p", { class: "transfer-facts" });
    this.row = h("div", { class: "transfer-buttons" });
    const first = h("bdi", null, tops[0].name);
    const title = tops.length === 1 ? first : t.nodes("files.staging.several", { name: first, n: tops.length - 1 });
    this.element = h(
      "article", { class: "transfer", "aria-labelledby": this.id, dataset: { testid: "staging", direction: "out" } },
      h("div", { class: "transfer-head" }, drawing(ICONS.attach), h("h3", { class: "transfer-name", id: this.id }, title)),
      this.bar, this.state, this.facts, this.row,
    );
    context.app.timeline.put(user, { id: this.id, at: Date.now(), render: () => this.element });
    this.show = perFrame(() => this.#show());
    this.#begin();
  }

  async #begin() {
    const { t } = this.context.app;
    this.cancelled = false;
    this.element.dataset.state = "staging";
    this.bar.hidden = false;
    this.state.textContent = t("files.staging");
    fill(this.row, h("button", { type: "button", dataset: { testid: "cancel-staging" }, on: { click: () => this.#cancel() } }, t("files.cancel")));
    underWay += 1;
    try {
      await this.#sendAll();
      this.#remove();
    } catch (error) {
      this.#failed(error);
    } finally {
      underWay -= 1;
    }
  }

  /** What has been sent is not sent again when it is tried again. */
  async #sendAll() {
    while (this.parts.length > 0 && !this.cancelled) {
      this.staging = new Staging(this.context.app.api, this.user, this.parts[0], this.show);
      const { heard } = this.context.transfers;
      for (const sent of await this.staging.send(this.how)) this.context.transfers.told(sent, heard);
      this.how = { ...this.how, comment: "" };
      this.before += this.staging.bytes;
      this.filesBefore += this.staging.files;
      this.staging = null;
      this.parts.shift();
    }
  }

  #cancel() {
    this.cancelled = true;
    this.staging?.cancel();
    this.#remove();
  }

  #remove() {
    this.context.app.timeline.remove(this.user, this.id);
  }

  /** @param {any} error */
  #failed(error) {
    if (error.code === "cancelled") return;
    const { t } = this.context.app;
    this.element.dataset.state = "disrupted";
    this.bar.hidden = true;
    this.state.textContent = error.code === "unreadable" ? t("files.staging.unreadable", { path: error.more.path }) : t("files.staging.failed", { message: error.message });
    fill(
      this.row,
      h("button", { type: "button", class: "primary", on: { click: () => this.#begin() } }, t("files.staging.again")),
      h("button", { type: "button", on: { click: () => this.#remove() } }, t("files.staging.dismiss")),
    );
  }

  #show() {
    const { app, formats } = this.context;
    const { staging } = this;
    if (!staging) return;
    const bytes = this.before + staging.bytes;
    this.bar.value = formats.percent(bytes, this.total);
    const count = this.files > 1 ? `${app.t.n("files.staging.files", this.files, { done: this.filesBefore + staging.files })} · ` : "";
    this.facts.textContent = count + app.t("files.of", { done: formats.size(bytes), total: formats.size(this.total) });
  }
}

/** What goes together. @param {import("./gather.js").Entry[]} entries @param {number} tops @returns {import("./gather.js").Entry[][]} */
function apart(entries, tops) {
  if (tops > MOST_APART) return [entries];
  /** @type {Map<string, import("./gather.js").Entry[]>} */
  const parts = new Map();
  for (const entry of entries) {
    const part = parts.get(entry.path[0]);
    if (part) part.push(entry);
    else parts.set(entry.path[0], [entry]);
  }
  return [...parts.values()];
}
