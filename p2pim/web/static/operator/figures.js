// @ts-check
/** The head of the page, and the tiles with figures. */

import { byId, fill, h } from "../common/dom.js";

/** @param {any} app */
export function mount(app) {
  const { store, t, f } = app;
  const tiles = new Map();

  /** @param {string} key @param {string} value @param {string} [hint] @param {Node | null} [more] */
  function tile(key, value, hint = "", more = null) {
    let known = tiles.get(key);
    if (known === undefined) {
      known = { value: h("dd", { dataset: { testid: `figure-${key}` } }), hint: h("dd", { class: "hint" }), more: h("dd", { class: "more" }) };
      tiles.set(key, known);
      byId("figures").append(h("dl", { class: `tile ${key}` }, h("dt", null, t(`operator.figure_${key}`)), known.value, known.hint, known.more));
    }
    set(known.value, value);
    set(known.hint, hint);
    known.hint.hidden = hint === "";
    if (more !== null) fill(known.more, more);
    known.more.hidden = more === null;
  }

  store.on("overview", () => {
    const told = store.overview;
    showHead(told);
    tile("sessions", t("operator.of_most", { n: told.sessions, most: told.most }), t("operator.users_accounts", { online: told.online, accounts: told.accounts }), meter(told.sessions / Math.max(1, told.most)));
    tile("connections", f.count(told.connections), t("operator.connections_hint", { strangers: told.strangers, splices: told.splices }));
    tile("share", shareText(told.share.hour), t("operator.share_hint", { day: shareText(told.share.day) }), told.share.hour.off === null ? h("span") : meter(told.share.hour.off));
    tile("messages", f.count(told.messages), t("operator.messages_hint", { direct: told.direct_messages }));
    tile("relayed", f.size(told.relayed), t("operator.relayed_hint", { direct: f.size(told.direct) }));
    tile("p2p", told.p2p ? f.count(told.p2p.requests) : "–", told.p2p ? t("operator.p2p_hint", { answers: told.p2p.answers, refused: told.p2p.refused }) : t("operator.p2p_none"));
    tile("mail", t.n("operator.messages", told.mail.messages ?? 0), t.n("operator.mail_hint", told.mail.devices ?? 0, { size: f.size(told.mail.bytes ?? 0) }));
    tile("files", t.n("operator.files", told.files.files ?? 0), f.size(told.files.bytes ?? 0));
  });

  /** @param {any} share */
  const shareText = (share) => (share.off === null ? t("operator.no_traffic") : f.percent(share.off));

  /** @param {any} told */
  function showHead(told) {
    const { tcp, udp } = told.listening;
    const since = h("time", { datetime: f.iso(told.since) }, f.moment(told.since));
    fill(byId("listening"), t.nodes(udp ? "operator.listening" : "operator.listening_tcp", { tcp: h("code", null, tcp), udp: h("code", null, udp ?? ""), since }));
    const failing = byId("banner");
    if (told.failing) {
      failing.textContent = t("operator.failing");
      failing.dataset.kind = "failing";
      failing.hidden = false;
    } else if (failing.dataset.kind === "failing") {
      failing.hidden = true;
    }
  }
}

/** A bar from 0 to 1; what it says stands beside it in words. @param {number} part */
function meter(part) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" }, h("span", null));
  bar.firstChild.style.inlineSize = `${Math.min(100, Math.max(0, part * 100))}%`;
  return bar;
}

/** @param {any} element @param {string} text */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
