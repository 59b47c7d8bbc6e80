// @ts-check
/** Who was refused, the fullest mailboxes, and who is switched off. */

import { byId, fill, h, name } from "../common/dom.js";

/** @param {any} app */
export function mount(app) {
  const { store, t, f } = app;
  const empty = (/** @type {string} */ key) => h("p", { class: "empty" }, t(key));
  const heads = (/** @type {string[]} */ keys) => h("thead", null, h("tr", null, keys.map((key) => h("th", { scope: "col" }, t(key)))));

  store.on("refusals", () => {
    if (store.refusals.length === 0) { fill(byId("refusals"), empty("operator.no_refusals")); return; }
    const rows = store.refusals.map((/** @type {any} */ one) => h("tr", { dataset: { testid: "refusal", code: one.code } },
      h("td", null, h("time", { datetime: f.iso(one.last) }, f.time(one.last))),
      h("td", null, name(one.host), one.times > 1 && h("span", { class: "times" }, t("operator.times", { n: one.times }))),
      h("td", null, one.user ? name(one.user) : "–"),
      h("td", null, h("span", { title: one.reason }, t.has(`operator.refused_${one.code}`) ? t(`operator.refused_${one.code}`) : one.code)),
    ));
    fill(byId("refusals"), h("table", { "aria-labelledby": "refusals-title" }, heads(["operator.when", "operator.column_address", "operator.claimed", "operator.why"]), h("tbody", null, rows)));
  });

  store.on("mailboxes", () => {
    if (store.mailboxes.length === 0) { fill(byId("mailboxes"), empty("operator.no_mail")); return; }
    const rows = store.mailboxes.map((/** @type {any} */ box) => h("tr", { dataset: { testid: "mailbox", user: box.user } },
      h("th", { scope: "row" }, name(box.user)), h("td", { class: "number" }, f.count(box.messages)), h("td", { class: "number" }, f.size(box.bytes)), h("td", { class: "number" }, f.count(box.devices)),
    ));
    fill(byId("mailboxes"), h("table", { "aria-labelledby": "mailboxes-title" }, heads(["operator.column_user", "operator.waiting", "operator.size", "operator.devices"]), h("tbody", null, rows)));
  });

  store.on("disabled", () => {
    const other = h("button", { type: "button", dataset: { testid: "disable-other" }, on: { click: () => app.actions.disableOther() } }, t("operator.disable_other"));
    const rows = store.disabled.map((/** @type {string} */ user) => h("li", null, name(user),
      h("button", { type: "button", dataset: { testid: "enable", user }, "aria-label": t("operator.enable_user", { user }), on: { click: () => app.actions.enable(user) } }, t("operator.enable")),
    ));
    fill(byId("disabled"), rows.length ? h("ul", null, rows) : empty("operator.none_disabled"), other);
  });
}
