// @ts-check
/** Transfers on the page: their cards in the conversations, the panel of all of them, and what is said aloud. */

import { h } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { actions } from "./actions.js";
import { mountAttach } from "./attach.js";
import { Card } from "./card.js";
import { formats } from "./format.js";
import { openTransfers } from "./panel.js";
import { Transfers, asks, ended } from "./store.js";
import { stateText } from "./words.js";

/** @param {any} app */
export function mountFiles(app) {
  const transfers = new Transfers(app);
  const context = { app, formats: formats(app.t), transfers, act: actions(app, transfers) };
  placeCards(context);
  announce(context);
  app.events.on("offer", (/** @type {any} */ event) => tellOffer(app, event));
  mountAttach(context);
  const toggle = () => (app.panel.shown === "transfers" ? app.panel.close() : openTransfers(context, transfers));
  app.commands.transfers = toggle;
  const { setBadge } = app.menu.add({ label: app.t("files.panel.title"), icon: ICONS.download, testid: "open-transfers", order: 20, run: toggle });
  badge(context, setBadge);
}

/** Somebody offers a file: said where they are not being looked at. @param {any} app @param {any} event */
function tellOffer(app, event) {
  const { user, name, direction } = event;
  if (direction !== "in" || (app.state.current === user && !document.hidden && document.hasFocus())) return;
  const open = { label: app.t("files.offer.open"), run: () => app.commands.open(user) };
  if (app.state.current !== user) app.toast(app.t("files.offer.toast", { user, name }), "", open);
  app.commands.notify(user, user, app.t("files.offer.notice"));
}

/** Each transfer stands in its conversation where it began; its card is made when it is first looked at. @param {any} context */
function placeCards(context) {
  /** @type {Map<string, Card>} */
  const cards = new Map();
  context.transfers.watch((/** @type {any} */ s, /** @type {string} */ what) => {
    cards.get(s.transfer)?.update(s);
    if (what !== "new") return;
    context.app.timeline.put(s.user, {
      id: `transfer-${s.transfer}`,
      at: Date.parse(s.created),
      render: () => {
        const now = context.transfers.all.get(s.transfer);
        const card = cards.get(s.transfer) ?? new Card(context, now);
        cards.set(s.transfer, card);
        return card.element;
      },
    });
  });
}

/** How many want an answer or are under way, on the button of the panel. @param {any} context @param {(count: number) => void} setBadge */
function badge(context, setBadge) {
  let shown = 0;
  context.transfers.watch(() => {
    let open = 0;
    for (const s of context.transfers.all.values()) if (!ended(s)) open += 1;
    if (shown !== open) setBadge(shown = open);
  });
}

const ALOUD = 500;

/** Say what changes, and every quarter of what moves: not four times a second. @param {any} context */
function announce(context) {
  const { app } = context;
  const voice = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
  document.body.append(voice);
  /** @type {Map<string, string>} */
  const said = new Map();
  let timer = 0;
  /** @type {string[]} */
  let lines = [];
  context.transfers.watch((/** @type {any} */ s) => {
    const quarter = s.state === "running" ? Math.floor((4 * s.bytes) / Math.max(1, s.total)) : 0;
    const now = `${s.state} ${s.paused} ${s.reason} ${quarter}`;
    const before = said.get(s.transfer);
    said.set(s.transfer, now);
    if (before === now || (before === undefined && (ended(s) || !asks(s)))) return;
    const progress = quarter > 0 ? ` ${25 * quarter} %` : "";
    lines = [...lines.slice(-2), `${s.name}: ${stateText(app.t, context.formats, s)}${progress}`];
    timer ||= window.setTimeout(() => { voice.textContent = lines.join(" "); lines = []; timer = 0; }, ALOUD);
  });
}
