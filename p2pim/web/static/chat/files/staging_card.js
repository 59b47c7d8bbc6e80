// @ts-check
/** What is on its way to the agent, in the conversation: how far, and what went wrong; afterwards a transfer takes its place. */

import { drawing, fill, h, perFrame } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { Staging } from "./staging.js";

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
    this.entries = entries;
    this.how = how;
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
    const { app } = this.context;
    const { t } = app;
    this.staging = new Staging(app.api, this.user, this.entries, this.show);
    this.element.dataset.state = "staging";
    this.bar.hidden = false;
    this.state.textContent = t("files.staging");
    fill(this.row, h("button", { type: "button", dataset: { testid: "cancel-staging" }, on: { click: () => { this.staging?.cancel(); this.#remove(); } } }, t("files.cancel")));
    underWay += 1;
    try {
      await this.staging.send(this.how);
      this.#remove();
      this.context.transfers.refreshSoon();
    } catch (error) {
      this.#failed(error);
    } finally {
      underWay -= 1;
    }
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
    this.bar.value = formats.percent(staging.bytes, staging.total);
    const count = this.entries.length > 1 ? `${app.t.n("files.staging.files", this.entries.length, { done: staging.files })} · ` : "";
    this.facts.textContent = count + app.t("files.of", { done: formats.size(staging.bytes), total: formats.size(staging.total) });
  }
}
