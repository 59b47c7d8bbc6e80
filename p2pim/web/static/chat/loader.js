// @ts-check
/** Fetches the history of the open conversation, page by page, as the view needs it. */

import { MOST, MessageWindow, PAGE, beginning, slices } from "./window.js";

/** Screens that are kept ready beyond each edge. */
const AHEAD = 1.5;
/** Less than the height (px) of any message: so many of them cover a screen. */
const LOW = 36;
/** Most messages asked for at once, to find where the unread begin. */
const UNREAD_PAGE = 1000;

const frame = () => new Promise((resolve) => { if (document.hidden) setTimeout(resolve, 0); else requestAnimationFrame(resolve); });

export class HistoryLoader {
  /** @param {any} app @param {any} view */
  constructor(app, view) {
    this.app = app;
    this.view = view;
    this.window = new MessageWindow([], { atStart: true });
    this.unreadFrom = "";
    this.opening = false;
    this.busy = false;
    /** Counts what was opened: answers to older questions are of no interest. */
    this.turn = 0;
    /** What came while a page was on its way. @type {any[]} */
    this.meanwhile = [];
  }

  /** @param {string | null} user @param {Record<string, any>} params */
  async fetch(user, params) {
    const { messages } = await this.app.api.call("history", { user, ...params });
    return messages;
  }

  /** Begin with a conversation: at its first unread message, or at its end. @param {string | null} user */
  async open(user) {
    const turn = this.begin();
    if (user === null) return this.settle(new MessageWindow([], { atStart: true }));
    const unread = this.app.state.conversations.get(user)?.unread ?? 0;
    const limit = unread > 0 ? Math.min(UNREAD_PAGE, unread + PAGE) : PAGE;
    try {
      const page = await this.fetch(user, { limit });
      if (turn !== this.turn) return undefined;
      const { from, until, unreadFrom } = beginning(page, unread);
      const entries = page.slice(from, until);
      this.unreadFrom = unreadFrom;
      const window = new MessageWindow(entries, { atStart: from === 0 && page.length < limit, atEnd: until === page.length });
      this.settle(window, unreadFrom);
    } catch (error) {
      if (turn === this.turn) this.failed(error);
    }
    return undefined;
  }

  /** Show a message with what was said around it. @param {string} user @param {any} entry */
  async openAround(user, entry) {
    const turn = this.begin();
    try {
      const [before, after] = await Promise.all([this.fetch(user, { before: entry.id, limit: PAGE }), this.fetch(user, { after: entry.id, limit: PAGE })]);
      if (turn !== this.turn) return;
      this.settle(new MessageWindow([...before, entry, ...after], { atStart: before.length < PAGE, atEnd: after.length < PAGE }), entry.id, true);
    } catch (error) {
      if (turn === this.turn) this.failed(error);
    }
  }

  begin() {
    this.opening = true;
    this.busy = false;
    this.unreadFrom = "";
    this.meanwhile = [];
    this.view.missed = 0;
    this.view.scroller.setAttribute("aria-busy", "true");
    return ++this.turn;
  }

  /** Show this window, at the message `at` or at its end. @param {MessageWindow} window @param {string} [at] @param {boolean} [flash] */
  settle(window, at = "", flash = false) {
    const { view } = this;
    this.window = window;
    this.opening = false;
    view.nodes.clear();
    view.stick = !at;
    for (const entry of this.app.outgoing.unsent(this.app.state.current)) window.add(entry);
    for (const entry of this.meanwhile) window.add(entry);
    view.draw();
    view.scroller.removeAttribute("aria-busy");
    view.scroller.dataset.shown = this.app.state.current ?? "";
    if (flash) view.show(at);
    else if (at) this.#toUnread();
    view.scrolled();
  }

  /** The line before the unread a little below the upper edge. */
  #toUnread() {
    const line = this.view.nodes.get("unread");
    if (line) this.view.scroller.scrollTop = line.offsetTop - 60;
  }

  /** @param {any} error */
  failed(error) {
    this.opening = false;
    this.view.scroller.removeAttribute("aria-busy");
    this.app.toast(error.message, "bad");
  }

  /** Something was said just now; whether the window shows it. @param {any} entry */
  add(entry) {
    if (this.opening || this.busy) this.meanwhile.push(entry);
    return !this.opening && this.window.add(entry);
  }

  /** Get what is missing beyond the edges of the screen. */
  async fillUp() {
    const { scroller } = this.view;
    if (this.opening || this.busy || this.app.state.current === null) return;
    const near = scroller.clientHeight * AHEAD;
    if (!this.window.atStart && scroller.scrollTop < near) await this.#more("older");
    else if (!this.window.atEnd && this.view.fromEnd < near) await this.#more("newer");
  }

  /** Messages held: what covers the screen and what is kept ready, a page more, and not the rest, which every frame would go through. */
  get keep() {
    const near = (2 * AHEAD + 1) * this.view.scroller.clientHeight;
    return Math.min(MOST, Math.ceil(near / LOW) + PAGE + PAGE / 2);
  }

  /** @param {"older" | "newer"} way */
  async #more(way) {
    const { turn, window } = this;
    this.busy = true;
    this.meanwhile = [];
    try {
      const params = way === "older" ? { before: window.first } : { after: window.last };
      const page = await this.fetch(this.app.state.current, { ...params, limit: PAGE });
      if (turn !== this.turn) return;
      await (way === "older" ? this.#older(page) : this.#newer(page));
    } catch (error) {
      if (turn === this.turn) console.error(error);
      return;
    } finally {
      if (turn === this.turn) this.busy = false;
    }
    if (turn === this.turn) requestAnimationFrame(() => this.fillUp());
  }

  /** @param {any[]} page */
  async #older(page) {
    const { turn, window, view } = this;
    const parts = slices(page).reverse();
    if (parts.length === 0) window.atStart = true;
    for (const [at, part] of parts.entries()) {
      if (at > 0) await frame();
      if (turn !== this.turn) return;
      window.prepend(part, at === parts.length - 1 && page.length < PAGE);
      window.trimEnd(this.keep);
      view.draw();
    }
  }

  /** @param {any[]} page */
  async #newer(page) {
    const { turn, window, view } = this;
    for (const [at, part] of slices(page).entries()) {
      if (at > 0) await frame();
      if (turn !== this.turn) return;
      window.append(part, false);
      window.trimStart(this.keep);
      view.draw();
    }
    if (page.length < PAGE) {
      window.atEnd = true;
      for (const entry of this.meanwhile) window.add(entry);
    }
    view.draw();
    view.scrolled();
  }

  /** To the newest message. */
  async toNewest() {
    const { view } = this;
    if (this.window.atEnd) {
      view.stick = true;
      view.hold(null);
      view.scrolled();
    } else {
      await this.open(this.app.state.current);
      view.stick = this.window.atEnd;
      view.hold(null);
    }
  }

  /** Events were missed: bring what is shown up to date. */
  async catchUp() {
    const { turn, window, view } = this;
    const user = this.app.state.current;
    if (user === null || this.opening) return;
    try {
      const page = await this.fetch(user, { limit: 200 });
      if (turn !== this.turn) return;
      const known = page.findIndex((/** @type {any} */ entry) => window.byId.has(entry.id));
      if (window.atEnd && known < 0 && page.length > 0) { this.open(user); return; }
      for (const entry of page) if (window.reached(entry.id, entry.state, { route: entry.route, address: entry.address })) view.redraw(window.byId.get(entry.id));
      if (window.atEnd) for (const entry of page.slice(known)) window.add(entry);
      view.draw();
    } catch (error) {
      console.error(error);
    }
  }
}
