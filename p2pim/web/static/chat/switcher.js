// @ts-check
/** Ctrl+K: go to a conversation by a few letters of its name. */

import { fill, h } from "../common/dom.js";
import { avatar, shownName } from "./people.js";
import { listed } from "./reduce.js";

const SHOWN = 12;

/** How well `name` fits `wanted`: smaller is better, Infinity not at all. @param {string} name @param {string} wanted */
export function fit(name, wanted) {
  const [low, letters] = [name.replace(/^#/u, "").toLocaleLowerCase(), wanted.replace(/^#/u, "").toLocaleLowerCase()];
  if (low.startsWith(letters)) return low.length - letters.length;
  if (low.includes(letters)) return 1000 + low.indexOf(letters);
  let at = -1;
  for (const letter of letters) {
    at = low.indexOf(letter, at + 1);
    if (at < 0) return Infinity;
  }
  return 2000 + at;
}

/** @param {any} app */
export function mount(app) {
  app.commands.switcher = () => open(app);
}

/** @param {any} app */
function open(app) {
  const { state, t, commands } = app;
  if (document.querySelector("dialog[open]")) return;
  const all = listed(state).rows;
  const list = h("ul", { id: "switch-list", class: "switch-list", role: "listbox", "aria-label": t("chat.conversations") });
  const field = h("input", { autofocus: true, autocomplete: "off", spellcheck: "false", role: "combobox", "aria-expanded": "true", "aria-controls": "switch-list", "aria-label": t("chat.switch"), placeholder: t("chat.switch"), dataset: { testid: "switcher" } });
  let found = all;
  let at = 0;
  const go = (/** @type {string} */ user) => { dialog.close(); commands.open(user, { write: true }); };
  const draw = () => {
    fill(list, found.slice(0, SHOWN).map((user, place) => h("li", { id: `switch-${place}`, role: "option", "aria-selected": String(place === at), dataset: { user }, on: { click: () => go(user) } }, avatar(user, state.people.get(user)?.status), shownName(user))));
    if (found.length > 0) field.setAttribute("aria-activedescendant", `switch-${at}`);
    else field.removeAttribute("aria-activedescendant");
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  field.addEventListener("input", () => {
    const wanted = field.value.trim();
    found = wanted ? all.map((user) => ({ user, rank: fit(user, wanted) })).filter(({ rank }) => rank < Infinity).sort((a, b) => a.rank - b.rank).map(({ user }) => user) : all;
    at = 0;
    draw();
  });
  field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const most = Math.min(found.length, SHOWN);
    if (event.isComposing) return;
    if (event.key === "Enter") { if (found[at]) go(found[at]); } else if (event.key === "ArrowDown" && most) at = (at + 1) % most;
    else if (event.key === "ArrowUp" && most) at = (at - 1 + most) % most;
    else return;
    event.preventDefault();
    draw();
  });
  const dialog = app.dialog.open({ title: t("chat.switch"), testid: "switch-dialog", content: [field, list] });
  draw();
  field.focus();
}
