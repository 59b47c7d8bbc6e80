// @ts-check
/** The messages of the open conversation: a window on its history that moves as one scrolls. */

import { byId, drawing, fill, h, perFrame } from "../common/dom.js";
import { formats } from "./format.js";
import { ICONS } from "./icons.js";
import { HistoryLoader } from "./loader.js";
import { messages } from "./message.js";
import { entryOf, conversationOf } from "./reduce.js";
import { itemsOf } from "./window.js";

/** So near (px) to the newest message one is at the end. */
const NEAR = 60;

/** @param {any} app */
export function mount(app) {
  const view = new HistoryView(app);
  app.history = view;
  app.state.on("current", () => view.loader.open(app.state.current));
  app.events.on("message", (/** @type {any} */ event) => view.said(event));
  app.events.on("sent", (/** @type {any} */ event) => view.said(event));
  app.events.on("wrote", (/** @type {any} */ event) => view.said(event));
  app.events.on("undelivered", (/** @type {any} */ event) => view.undelivered(event));
  app.events.on("receipt", (/** @type {any} */ event) => view.receipt(event));
  app.events.on("history-deleted", (/** @type {any} */ event) => { if (event.user === app.state.current) view.loader.open(event.user); });
  app.timeline.on((/** @type {string} */ user) => { if (user === app.state.current) view.draw(); });
}

export class HistoryView {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.scroller = byId("messages");
    this.list = h("div", { class: "items" });
    this.format = formats(app.t);
    this.messages = messages(app, this.format);
    /** What is drawn, by key. @type {Map<string, any>} */
    this.nodes = new Map();
    this.stick = true;
    this.missed = 0;
    /** How many missed messages the way to the newest tells of. */
    this.jumpShows = -1;
    this.jump = h("button", { id: "jump", type: "button", hidden: true, dataset: { testid: "jump" }, on: { click: () => this.loader.toNewest() } }, drawing(ICONS.down));
    this.loader = new HistoryLoader(app, this);
    this.scroller.append(this.list);
    this.scroller.after(this.jump);
    this.scroller.addEventListener("scroll", perFrame(() => this.scrolled()), { passive: true });
    new ResizeObserver(() => this.resized()).observe(this.scroller);
    new ResizeObserver(() => this.resized()).observe(this.list);
  }

  get window() { return this.loader.window; }

  // --- drawing

  /** Draw the window; what is looked at stays where it is. */
  draw() {
    const { state, timeline } = this.app;
    const items = itemsOf(this.window, state.current ? timeline.of(state.current) : [], this.loader.unreadFrom);
    if (!this.window.atEnd) this.stick = false;
    const anchor = this.stick ? null : this.anchor();
    this.place(items.map((item) => this.node(item)));
    this.forget(items);
    this.hold(anchor);
    this.showJump();
  }

  /** @param {import("./window.js").Item} item */
  node(item) {
    let node = this.nodes.get(item.key);
    if (!node) {
      node = this.make(item);
      this.nodes.set(item.key, node);
    } else if (item.kind === "message") node.classList.toggle("first", item.first);
    else if (item.kind === "extra" && node.extra !== item.extra) {
      node = this.make(item);
      this.nodes.set(item.key, node);
    }
    return node;
  }

  /** @param {import("./window.js").Item} item */
  make(item) {
    const { t } = this.app;
    if (item.kind === "message") return this.messages.make(item.entry, item.first);
    if (item.kind === "day") return h("h2", { class: "day" }, h("time", { datetime: item.at.slice(0, 10) }, this.format.day(item.at)));
    if (item.kind === "unread") return h("div", { class: "unread-line", role: "separator", dataset: { testid: "unread-line" } }, h("span", null, t("chat.unread_from_here")));
    const element = h("div", { class: "extra" }, item.extra.render());
    element.extra = item.extra;
    return element;
  }

  /** Have exactly these in the list, moving as few as can be. @param {any[]} wanted */
  place(wanted) {
    const keep = new Set(wanted);
    for (let node = this.list.firstChild; node; ) {
      const next = node.nextSibling;
      if (!keep.has(node)) node.remove();
      node = next;
    }
    let at = this.list.firstChild;
    for (const node of wanted) {
      if (node === at) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
  }

  /** @param {import("./window.js").Item[]} items */
  forget(items) {
    if (this.nodes.size === items.length) return;
    const keys = new Set(items.map(({ key }) => key));
    for (const key of this.nodes.keys()) if (!keys.has(key)) this.nodes.delete(key);
  }

  /** Draw one message anew. @param {any} entry */
  redraw(entry) {
    const node = this.nodes.get(entry.key ?? entry.id);
    if (node) this.messages.update(node);
  }

  // --- where one looks

  /** What stands at the upper edge now, and where. */
  anchor() {
    const top = this.scroller.scrollTop;
    const { children } = this.list;
    let [from, until] = [0, children.length];
    while (from < until) {
      const middle = (from + until) >> 1;
      const node = /** @type {HTMLElement} */ (children[middle]);
      if (node.offsetTop + node.offsetHeight > top) until = middle;
      else from = middle + 1;
    }
    const node = /** @type {HTMLElement | undefined} */ (children[from]);
    return node ? { node, offset: node.offsetTop - top } : null;
  }

  /** Have it there again. @param {{node: any, offset: number} | null} anchor */
  hold(anchor) {
    if (this.stick) this.scroller.scrollTop = this.scroller.scrollHeight;
    else if (anchor?.node.isConnected) {
      const top = anchor.node.offsetTop - anchor.offset;
      if (Math.abs(top - this.scroller.scrollTop) >= 1) this.scroller.scrollTop = top;
    }
  }

  get fromEnd() { return this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight; }

  scrolled() {
    if (this.loader.opening) return;
    this.stick = this.window.atEnd && this.fromEnd < NEAR;
    if (this.stick) this.missed = 0;
    this.showJump();
    this.loader.fillUp();
    if (this.stick) this.app.commands.markRead?.();
  }

  /** The window or something in it has another height. */
  resized() {
    if (this.stick && !this.loader.opening) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  /** The way to the newest. Called with every scroll: what is drawn already is left alone, or the page would be laid out anew. */
  showJump() {
    const { t } = this.app;
    const hidden = this.stick || this.loader.opening || this.window.entries.length === 0;
    if (hidden === this.jump.hidden && this.jumpShows === this.missed) return;
    this.jump.hidden = hidden;
    this.jumpShows = this.missed;
    const label = this.missed > 0 ? t.n("chat.jump_missed", this.missed) : t("chat.jump");
    this.jump.setAttribute("aria-label", label);
    this.jump.title = label;
    fill(this.jump, drawing(ICONS.down), this.missed > 0 && h("span", { class: "badge", "aria-hidden": "true" }, this.missed));
  }

  /** Bring a message into the middle, and show which it is. @param {string} id */
  show(id) {
    const node = this.nodes.get(id) ?? [...this.nodes.values()].find((each) => each.entry?.id === id);
    if (!node) return false;
    this.stick = false;
    this.scroller.scrollTop = node.offsetTop - Math.max(0, (this.scroller.clientHeight - node.offsetHeight) / 2);
    node.classList.add("shown");
    setTimeout(() => node.classList.remove("shown"), 2500);
    node.focus({ preventScroll: true });
    return true;
  }

  // --- what happens

  /** Somebody said something. @param {any} event */
  said(event) {
    const { state } = this.app;
    const entry = entryOf(event);
    if (event.event === "wrote" && this.app.outgoing.adopt(entry)) return;
    if (conversationOf(event) !== state.current) return;
    if (!this.loader.add(entry)) {
      if (entry.direction === "in") this.missed += 1;
      this.showJump();
      return;
    }
    if (!this.stick && entry.direction === "in") this.missed += 1;
    this.draw();
    if (entry.direction === "in") this.announce(entry);
  }

  /** Tell those who do not see the screen. @param {any} entry */
  announce(entry) {
    const { t } = this.app;
    byId("live").textContent = t("chat.announce", { who: entry.sender ?? entry.user, text: entry.text.slice(0, 500) });
  }

  /** @param {any} event */
  receipt(event) {
    if (event.group) return this.app.commands.groupReceipt?.(event);
    const entry = this.window.reached(event.id, event.state, event.route ? { route: event.route } : {});
    if (!entry) return undefined;
    entry.note = "";
    return this.redraw(entry);
  }

  /** A message of mine is not taken: for good, or for now. @param {any} event */
  undelivered(event) {
    const entry = this.window.byId.get(event.id);
    if (!entry) return;
    if (event.waits) entry.note = event.message;
    else this.window.reached(event.id, "failed", { error: event.message });
    this.redraw(entry);
  }
}
