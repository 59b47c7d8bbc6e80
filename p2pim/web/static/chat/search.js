// @ts-check
/** Search in what was said, in one conversation or all; a hit opens where it was said. */

import { byId, drawing, fill, h } from "../common/dom.js";
import { formats, momentOf } from "./format.js";
import { ICONS } from "./icons.js";
import { marked } from "./message.js";
import { avatar, shownName } from "./people.js";

/** After so long (ms) without a key one looks. */
const PAUSE = 180;
const HITS = 50;
/** Characters shown before a hit. */
const BEFORE = 30;
const SHOWN = 160;

/** @param {any} app */
export function mount(app) {
  const search = new Search(app);
  app.commands.search = (/** @type {string | null} */ scope = null) => search.begin(scope);
  app.actions.add({ label: `${app.t("chat.search_here")} (Ctrl+F)`, icon: ICONS.search, testid: "search-here", order: 80, run: () => search.begin(app.state.current) });
}

class Search {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.format = formats(app.t);
    const { t } = app;
    /** Where to search: a conversation, or null for all. @type {string | null} */
    this.scope = null;
    this.turn = 0;
    this.chip = h("button", { type: "button", class: "chip", hidden: true, dataset: { testid: "search-scope" }, on: { click: () => this.begin(null) } });
    this.field = h("input", { id: "search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: t("chat.search"), "aria-label": t("chat.search"), "aria-controls": "search-results", dataset: { testid: "search" } });
    this.results = h("div", { id: "search-results", hidden: true, dataset: { testid: "search-results" } });
    this.count = h("p", { class: "unseen", role: "status" });
    byId("rail-search").append(drawing(ICONS.search), this.chip, this.field, this.count);
    byId("rail-list").before(this.results);
    this.field.addEventListener("input", () => this.typed());
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    this.results.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.move(event));
  }

  /** @param {string | null} scope */
  begin(scope) {
    this.scope = scope;
    this.chip.hidden = scope === null;
    if (scope) fill(this.chip, h("span", { class: "unseen" }, this.app.t("chat.search_only")), shownName(scope), drawing(ICONS.cross));
    document.body.dataset.pane = "list";
    this.field.focus();
    this.field.select();
    this.typed();
  }

  end() {
    this.field.value = "";
    this.scope = null;
    this.chip.hidden = true;
    this.typed();
  }

  typed() {
    clearTimeout(this.timer);
    const text = this.field.value.trim();
    const searching = text !== "";
    this.results.hidden = !searching;
    byId("rail-list").hidden = searching;
    this.turn += 1;
    if (searching) this.timer = setTimeout(() => this.look(text), PAUSE);
    else fill(this.results);
  }

  /** @param {string} text */
  async look(text) {
    const { turn } = this;
    const { api, t } = this.app;
    try {
      const { messages } = await api.call("history", { user: this.scope, search: text, limit: HITS });
      if (turn !== this.turn) return;
      const people = this.scope === null ? this.people(text) : [];
      fill(this.results, people.length > 0 && [h("h2", null, t("chat.search_people")), h("ul", { class: "contacts" }, people)], this.hits(text, messages));
      this.count.textContent = t.n("chat.search_found", messages.length + people.length);
    } catch (error) {
      if (turn === this.turn) fill(this.results, h("p", { class: "empty-list" }, /** @type {Error} */ (error).message));
    }
  }

  /** Contacts, groups and conversations of that name. @param {string} text */
  people(text) {
    const { state, commands } = this.app;
    const wanted = text.toLocaleLowerCase().replace(/^#/u, "");
    const names = new Set([...state.people.values()].filter(({ relation }) => relation && relation !== "blocked").map(({ user }) => user));
    for (const user of [...state.conversations.keys(), ...state.groups.keys()]) names.add(user);
    const found = [...names].filter((user) => user.replace(/^#/u, "").toLocaleLowerCase().includes(wanted)).sort().slice(0, 20);
    return found.map((user) => h("li", null, h("button", { type: "button", class: "found-person", dataset: { testid: "found-person", user }, on: { click: () => { this.end(); commands.open(user, { write: true }); } } }, avatar(user, state.people.get(user)?.status), h("span", { class: "row-name" }, shownName(user)))));
  }

  /** @param {string} text @param {any[]} messages oldest first */
  hits(text, messages) {
    const { t } = this.app;
    if (messages.length === 0) return h("p", { class: "empty-list" }, t("chat.search_nothing"));
    const list = h("ul", { class: "hits" }, [...messages].reverse().map((entry) => this.hit(entry)));
    const more = h("button", { type: "button", class: "plain", dataset: { testid: "search-more" } }, t("chat.search_more"));
    let oldest = messages[0];
    more.addEventListener("click", async () => {
      const { turn } = this;
      const page = await this.app.api.call("history", { user: this.scope, search: text, limit: HITS, before: oldest.number });
      if (turn !== this.turn) return;
      list.append(...[...page.messages].reverse().map((/** @type {any} */ entry) => this.hit(entry)));
      more.hidden = page.messages.length < HITS;
      oldest = page.messages[0] ?? oldest;
    });
    more.hidden = messages.length < HITS;
    return [h("h2", null, t("chat.search_messages")), list, more];
  }

  /** @param {any} entry */
  hit(entry) {
    const { t } = this.app;
    const who = entry.direction === "out" ? t("chat.you") : entry.sender ?? entry.user;
    const open = () => this.open(entry);
    return h("li", null, h(
      "button", { type: "button", dataset: { testid: "hit", id: entry.id, user: entry.user }, on: { click: open } },
      h("span", { class: "hit-who" }, h("bdi", null, who), this.scope === null && entry.user !== who && [" · ", h("bdi", null, entry.user)]),
      h("time", { datetime: momentOf(entry) }, this.format.brief(momentOf(entry))),
      h("span", { class: "hit-text", dir: "auto" }, excerpt(entry.text, entry.hits ?? [])),
    ));
  }

  /** @param {any} entry */
  open(entry) {
    const { state, history, commands } = this.app;
    const elsewhere = state.current !== entry.user;
    commands.open(entry.user);
    // A conversation that is just being opened begins where the hit is.
    if (elsewhere) queueMicrotask(() => history.loader.openAround(entry.user, entry));
    else if (!history.show(entry.id)) history.loader.openAround(entry.user, entry);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.preventDefault();
      if (this.field.value || this.scope) this.end();
      else if (this.app.state.current) this.app.composer.focus();
    } else if (event.key === "ArrowDown") {
      event.preventDefault();
      if (this.results.hidden) this.app.commands.focusList();
      else this.results.querySelector("button")?.focus();
    } else if (event.key === "Enter") this.results.querySelector("button")?.click();
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const buttons = [...this.results.querySelectorAll("button:not([hidden])")];
    const at = buttons.indexOf(document.activeElement);
    if (event.key === "ArrowDown") buttons[at + 1]?.focus();
    else if (event.key === "ArrowUp") (at > 0 ? buttons[at - 1] : this.field).focus();
    else if (event.key === "Escape") this.field.focus();
    else return;
    event.preventDefault();
  }
}

/** A part of `text` with its first hit in it. @param {string} text @param {[number, number][]} hits */
function excerpt(text, hits) {
  const characters = [...text];
  const from = Math.max(0, (hits[0]?.[0] ?? 0) - BEFORE);
  const until = Math.min(characters.length, from + SHOWN);
  const inside = hits.filter((hit) => hit[0] >= from && hit[1] <= until).map((hit) => /** @type {[number, number]} */ ([hit[0] - from, hit[1] - from]));
  return [from > 0 && "…", ...marked(characters.slice(from, until).join(""), inside), until < characters.length && "…"];
}
