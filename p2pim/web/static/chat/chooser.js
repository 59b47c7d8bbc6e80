// @ts-check
/** Choosing several people: contacts by a tick, others by name. */

import { h } from "../common/dom.js";
import { avatar, shownName } from "./people.js";

/**
 * @param {any} app @param {{chosen?: string[], without?: string[]}} [options]
 * @returns {{element: HTMLElement, chosen: () => string[]}}
 */
export function chooser(app, { chosen = [], without = [] } = {}) {
  const { state, t } = app;
  const contacts = [...state.people.values()].filter(({ relation, user }) => relation === "contact" && !without.includes(user)).map(({ user }) => user).sort();
  const boxes = contacts.map((user) => h("input", { type: "checkbox", value: user, checked: chosen.includes(user), dataset: { testid: "choose", user } }));
  const others = h("input", { id: "other-names", autocomplete: "off", spellcheck: "false", autocapitalize: "none", value: chosen.filter((user) => !contacts.includes(user)).join(" "), dataset: { testid: "other-names" } });
  const list = h("div", { class: "choose-people", role: "group", "aria-label": t("chat.contacts") }, contacts.map((user, at) => h("label", { class: "check" }, boxes[at], avatar(user), shownName(user))));
  return {
    element: h("div", null, h("div", { class: "field" }, h("span", null, t("chat.contacts")), contacts.length > 0 ? list : h("p", { class: "hint" }, t("chat.no_contacts"))), h("div", { class: "field" }, h("label", { for: "other-names" }, t("chat.other_names")), others)),
    chosen: () => [...boxes.filter(({ checked }) => checked).map(({ value }) => value), ...others.value.split(/[\s,，、;；]+/u).filter(Boolean)],
  };
}
