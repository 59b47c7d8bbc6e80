// @ts-check
/** All transfers, with everybody: those under way first, then the latest of those that are over. */

import { h, name } from "../../common/dom.js";
import { arrange } from "./arrange.js";
import { Card } from "./card.js";
import { ended } from "./store.js";

/** Ended ones shown at first: a screen or two. */
const ENDED_SHOWN = 50;

/** @param {any} context see `Card` @param {any} transfers */
export function openTransfers(context, transfers) {
  const { app } = context;
  const { t } = app;
  /** @type {Map<string, Card>} */
  const cards = new Map();
  const lists = [h("ul", { class: "transfer-list" }), h("ul", { class: "transfer-list" })];
  const empty = h("p", { class: "hint" }, t("files.panel.empty"));
  const more = h("button", { type: "button", class: "link", hidden: true, on: { click: () => { shown = Infinity; order(); } } }, t("files.panel.all"));
  const headings = [h("h3", null, t("files.panel.open")), h("h3", null, t("files.panel.ended"))];
  let shown = ENDED_SHOWN;

  /** @param {any} s */
  function row(s) {
    const known = cards.get(s.transfer);
    const card = known ?? new Card(context, s);
    if (known) return known.element.parentElement;
    cards.set(s.transfer, card);
    return h("li", null, h("p", { class: "transfer-user" }, t.nodes(s.direction === "in" ? "files.panel.from" : "files.panel.to", { user: name(s.user) })), card.element);
  }

  function order() {
    const all = [...transfers.all.values()].reverse();
    const parts = [all.filter((s) => !ended(s)), all.filter(ended)];
    more.hidden = parts[1].length <= shown;
    parts.forEach((part, index) => {
      headings[index].hidden = part.length === 0;
      arrange(lists[index], part.slice(0, index ? shown : undefined).map(row));
    });
    empty.hidden = all.length > 0 || !transfers.loaded;
  }

  order();
  if (!transfers.loaded) transfers.refresh().then(order, () => {});
  const stop = transfers.watch((/** @type {any} */ s, /** @type {string} */ what) => {
    cards.get(s.transfer)?.update(s);
    if (what === "new" || (what === "state" && ended(s))) order();
  });
  app.panel.open({
    title: t("files.panel.title"),
    testid: "transfers",
    content: h("div", { class: "transfers-panel" }, empty, headings[0], lists[0], headings[1], lists[1], more),
    onClose: stop,
  });
}
