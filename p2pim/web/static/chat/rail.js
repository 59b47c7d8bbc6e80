// @ts-check
/** The list at the side: requests, conversations with their last message and what is unread, contacts, groups. */

import { byId, fill, h, perFrame } from "../common/dom.js";
import { draftOf } from "./drafts.js";
import { formats, momentOf } from "./format.js";
import { avatar, guestTag, shownName, statusText } from "./people.js";
import { listed } from "./reduce.js";
import { ticks } from "./ticks.js";

/** @param {any} app */
export function mount(app) {
  const rail = new Rail(app);
  const draw = perFrame(() => rail.draw());
  for (const part of ["people", "groups", "conversations", "current", "me", "typing", "drafts", "agent"]) app.state.on(part, draw);
  app.commands.focusList = () => rail.focus();
  setInterval(draw, 60_000); // "yesterday" comes by itself
}

class Rail {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.format = formats(app.t);
    this.requests = h("ul", { class: "requests", "aria-label": app.t("chat.requests") });
    this.list = h("ul", { class: "contacts", "aria-label": app.t("chat.conversations") });
    this.empty = h("p", { class: "empty-list" });
    /** Rows by user, with what they show. @type {Map<string, {element: any, shown: string}>} */
    this.rows = new Map();
    byId("rail-list").append(this.requests, this.list, this.empty);
    this.list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.keys(event));
    this.list.addEventListener("click", (/** @type {MouseEvent} */ event) => this.click(event));
  }

  draw() {
    const { state, t } = this.app;
    if (!state.loaded) return;
    const { requests, rows } = listed(state);
    fill(this.requests, requests.map((user) => this.request(user)));
    this.requests.hidden = requests.length === 0;
    const wanted = rows.map((user) => this.row(user));
    this.place(wanted);
    for (const user of [...this.rows.keys()]) if (!rows.includes(user)) this.rows.delete(user);
    this.empty.hidden = rows.length + requests.length > 0;
    this.empty.textContent = t("chat.nobody_yet");
    const stop = this.list.querySelector('[tabindex="0"]');
    if (!stop) this.list.querySelector("button")?.setAttribute("tabindex", "0");
  }

  /** Put the rows in order, moving as few as can be. @param {any[]} wanted */
  place(wanted) {
    const keep = new Set(wanted);
    for (const child of [...this.list.children]) if (!keep.has(child)) child.remove();
    wanted.forEach((element, at) => {
      const there = this.list.children[at];
      if (there !== element) moveBefore(this.list, element, there ?? null);
    });
  }

  /** @param {string} user */
  row(user) {
    const facts = this.facts(user);
    const shown = JSON.stringify(facts);
    const known = this.rows.get(user);
    if (known?.shown === shown) return known.element;
    const element = known?.element ?? h("li", null, h("button", { type: "button", tabindex: -1, dataset: { testid: "contact", user } }));
    const button = element.firstChild;
    fill(button, this.content(user, facts));
    button.classList.toggle("unread", facts.unread > 0);
    button.dataset.status = facts.status;
    button.dataset.unread = String(facts.unread);
    if (facts.current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (facts.current) this.stopAt(button);
    this.rows.set(user, { element, shown });
    return element;
  }

  /** @param {string} user */
  facts(user) {
    const { state } = this.app;
    const person = state.people.get(user);
    const conversation = state.conversations.get(user);
    const last = conversation?.last;
    const current = state.current === user;
    return {
      status: user.startsWith("#") || state.agent !== "up" ? "" : person?.status ?? "",
      relation: person?.relation ?? "",
      unread: conversation?.unread ?? 0,
      current,
      typing: [...(state.typing.get(user)?.keys() ?? [])],
      draft: current ? "" : draftOf(user).slice(0, 100),
      text: (last?.text ?? "").slice(0, 140),
      who: last ? (last.direction === "out" ? "me" : last.sender ?? "") : "",
      state: last?.direction === "out" ? last.state : "",
      when: last ? this.format.brief(momentOf(last)) : "",
      at: last ? momentOf(last) : "",
    };
  }

  /** @param {string} user @param {ReturnType<Rail["facts"]>} facts */
  content(user, facts) {
    const { t } = this.app;
    const status = statusText(t, facts.status);
    return [
      avatar(user, facts.status),
      h("span", { class: "row-name" }, shownName(user), guestTag(t, user), status && h("span", { class: "unseen" }, `, ${status}`)),
      facts.when && h("time", { class: "row-time", datetime: facts.at }, facts.when),
      h("span", { class: "row-text" }, this.line(user, facts)),
      facts.state && !facts.draft && !facts.typing.length && ticks(t, facts.state),
      facts.unread > 0 && h("span", { class: "badge" }, facts.unread > 999 ? "999+" : facts.unread, h("span", { class: "unseen" }, ` ${t.n("chat.unread", facts.unread)}`)),
    ];
  }

  /** What stands under the name. @param {string} user @param {ReturnType<Rail["facts"]>} facts */
  line(user, facts) {
    const { t } = this.app;
    if (facts.typing.length > 0) return h("em", null, user.startsWith("#") ? t("chat.typing_who", { who: facts.typing[0] }) : t("chat.typing"));
    if (facts.draft) return [h("span", { class: "draft" }, t("chat.draft")), " ", h("bdi", null, facts.draft)];
    if (!facts.text) return facts.relation === "requested" ? t("chat.request_sent") : statusText(t, facts.status);
    const who = facts.who === "me" ? t("chat.you") : facts.who;
    return [who && [h("bdi", null, who), ": "], h("bdi", null, facts.text)];
  }

  /** Somebody asks to be a contact. @param {string} user */
  request(user) {
    const { t, commands } = this.app;
    const button = (/** @type {string} */ key, /** @type {string} */ kind, /** @type {string} */ testid, /** @type {() => void} */ run) =>
      h("button", { type: "button", class: kind, dataset: { testid, user }, on: { click: run } }, t(key), h("span", { class: "unseen" }, h("bdi", null, ` ${user}`)));
    return h(
      "li", { dataset: { testid: "request", user } },
      avatar(user), h("p", null, ...t.nodes("chat.asks", { user: shownName(user) })),
      h("div", { class: "request-buttons" }, button("chat.accept", "primary", "accept-request", () => commands.add(user)), button("chat.decline", "", "decline-request", () => commands.decline(user)), button("chat.block", "plain", "block-request", () => commands.block(user))),
    );
  }

  /** @param {MouseEvent} event */
  click(event) {
    const button = /** @type {HTMLElement | null} */ (/** @type {HTMLElement} */ (event.target).closest("[data-user]"));
    if (button) this.app.commands.open(button.dataset.user, { write: event.detail > 0 });
  }

  /** @param {KeyboardEvent} event */
  keys(event) {
    const buttons = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll("button")]);
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1, PageDown: Math.min(at + 10, buttons.length - 1), PageUp: Math.max(at - 10, 0) }[event.key];
    if (next === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const button = buttons[next];
    if (!button) return;
    this.stopAt(button);
    button.focus();
  }

  /** Tab comes back to this row. @param {HTMLElement} button */
  stopAt(button) {
    this.list.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    button.setAttribute("tabindex", "0");
  }

  focus() {
    /** @type {HTMLElement | null} */ (this.list.querySelector('[tabindex="0"]') ?? this.list.querySelector("button"))?.focus();
  }
}

/** Insert without losing the focus, which a removed element loses. @param {any} parent @param {any} element @param {any} before */
function moveBefore(parent, element, before) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(element, before);
  focused?.focus({ preventScroll: true });
}

