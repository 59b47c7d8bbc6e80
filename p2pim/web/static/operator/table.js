// @ts-check
/**
 * The table of who is signed in: a real table of which only the rows in sight exist, so that ten thousand cost what
 * thirty do. While somebody reads (the pointer or the focus is in it, or it is scrolled) no row moves: values change in
 * their place, who comes stands at the end, who goes stays, greyed. A button, or leaving the table, orders it anew.
 */

import { byId, h, name, perFrame } from "../common/dom.js";
import { COLUMNS, descendsFirst, sorted } from "./order.js";

/** @typedef {import("./store.js").Row} Row */

const SPARE = 6;
const TIMES = new Set(["since", "lastUp", "lastDown"]);
const COUNTS = new Set(["uploads", "downloads"]);

export class Table {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.box = byId("table");
    this.column = "user";
    this.descending = false;
    this.filter = "";
    /** @type {string[]} */
    this.order = [];
    /** Rows as they are shown, also those that have gone. @type {Map<string, Row>} */
    this.shown = new Map();
    /** @type {Map<string, any>} */
    this.elements = new Map();
    this.rowHeight = 0;
    this.outdated = 0;
    this.over = false;
    this.make();
    this.draw = perFrame(() => this.render());
    this.listen();
  }

  make() {
    const { t } = this.app;
    this.heads = new Map(COLUMNS.map((column) => [column, this.head(column)]));
    this.above = spacer();
    this.below = spacer();
    this.body = h("tbody", null, this.above, this.below);
    const actions = h("th", { scope: "col" }, h("span", { class: "unseen" }, t("operator.actions")));
    this.table = h("table", { class: "people", "aria-labelledby": "people-title" }, h("thead", null, h("tr", { "aria-rowindex": 1 }, [...this.heads.values()], actions)), this.body);
    this.box.append(this.table);
    this.empty = h("p", { class: "empty", hidden: true });
    this.box.append(this.empty);
    this.makeTools();
    this.showSort();
  }

  makeTools() {
    const { t } = this.app;
    this.field = h("input", { id: "filter", type: "search", dataset: { testid: "filter" }, placeholder: t("operator.filter"), autocomplete: "off" });
    this.anew = h("button", { type: "button", class: "plain", dataset: { testid: "order-anew" }, hidden: true, on: { click: () => this.sort() } });
    byId("people-tools").append(this.anew, h("label", { class: "unseen", for: "filter" }, t("operator.filter")), this.field);
  }

  /** @param {string} column */
  head(column) {
    const { t } = this.app;
    const click = () => {
      this.descending = this.column === column ? !this.descending : descendsFirst(column);
      this.column = column;
      this.showSort();
      this.sort();
      this.box.scrollTop = 0;
    };
    const button = h("button", { type: "button", class: "sort", dataset: { testid: `sort-${column}` }, on: { click } }, t(`operator.column_${column}`), h("span", { class: "arrow", "aria-hidden": "true" }));
    return h("th", { scope: "col", class: COUNTS.has(column) ? "number" : "" }, button);
  }

  showSort() {
    for (const [column, head] of this.heads) {
      if (column === this.column) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  listen() {
    const { store } = this.app;
    this.box.addEventListener("scroll", () => { this.draw(); this.leftPerhaps(); }, { passive: true });
    this.box.addEventListener("pointerenter", () => { this.over = true; });
    this.box.addEventListener("pointerleave", () => { this.over = false; this.leftPerhaps(); });
    this.box.addEventListener("focusout", () => setTimeout(() => this.leftPerhaps()));
    this.field.addEventListener("input", () => { this.filter = this.field.value; this.box.scrollTop = 0; this.sort(); this.say(); });
    new ResizeObserver(() => { this.rowHeight = 0; this.draw(); }).observe(this.box);
    store.on("rows", (/** @type {any} */ detail) => this.rowsChanged(detail));
  }

  get reading() {
    return this.over || this.box.scrollTop > 0 || this.box.contains(document.activeElement);
  }

  leftPerhaps() {
    if (this.outdated > 0 && !this.reading) this.sort();
  }

  /** @param {{all: boolean, changed: Row[], gone: string[]}} detail */
  rowsChanged({ all, changed, gone }) {
    if (all || !this.reading) {
      this.sort();
      return;
    }
    let moves = 0;
    const words = this.filter.toLowerCase().split(/\s+/u).filter(Boolean);
    for (const row of changed) {
      const before = this.shown.get(row.key);
      if (before === undefined && !words.every((word) => row.hay.includes(word))) continue;
      if (before === undefined) this.order.push(row.key);
      if (before === undefined || before[/** @type {keyof Row} */ (this.column)] !== row[/** @type {keyof Row} */ (this.column)]) moves++;
      this.shown.set(row.key, row);
    }
    for (const key of gone) if (this.shown.has(key)) moves++;
    this.outdated += moves;
    this.showCount();
    this.draw();
  }

  /** Order everything anew. */
  sort() {
    const { store, t } = this.app;
    this.order = sorted(store.rows.values(), this.column, this.descending, this.filter, t.lang);
    this.shown = new Map(this.order.map((key) => [key, store.rows.get(key)]));
    this.outdated = 0;
    this.showCount();
    this.draw();
  }

  showCount() {
    const { store, t, f } = this.app;
    const all = store.rows.size;
    const text = this.filter ? t("operator.count_filtered", { n: this.order.length, all }) : f.count(all);
    byId("people-count").textContent = text;
    this.table.setAttribute("aria-rowcount", String(this.order.length + 1));
    this.anew.hidden = this.outdated === 0;
    this.anew.textContent = t.n("operator.order_anew", this.outdated);
    this.empty.hidden = this.order.length > 0;
    this.empty.textContent = all === 0 ? t("operator.nobody") : t("operator.none_found");
  }

  say() {
    byId("live").textContent = this.app.t.n("operator.found", this.order.length);
  }

  // --- drawing

  measure() {
    if (this.rowHeight > 0) return;
    const probe = this.makeRow();
    this.body.insertBefore(probe.element, this.below);
    this.rowHeight = probe.element.getBoundingClientRect().height || 36;
    probe.element.remove();
  }

  render() {
    this.measure();
    const room = Math.ceil(this.box.clientHeight / this.rowHeight);
    const most = Math.max(0, this.order.length - room);
    const top = Math.min(Math.floor(this.box.scrollTop / this.rowHeight), most);
    const first = Math.max(0, top - SPARE);
    const last = Math.min(this.order.length, top + room + SPARE);
    setHeight(this.above, first * this.rowHeight);
    setHeight(this.below, (this.order.length - last) * this.rowHeight);
    this.place(this.order.slice(first, last), first);
  }

  /** Have exactly these rows, in this order; those that stay are not touched, so focus and selection stay too.
   * @param {string[]} keys @param {number} first */
  place(keys, first) {
    const wanted = new Set(keys);
    for (const [key, row] of this.elements) {
      if (wanted.has(key)) continue;
      if (row.element.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      row.element.remove();
      this.elements.delete(key);
    }
    let next = this.above.nextSibling;
    keys.forEach((key, index) => {
      let row = this.elements.get(key);
      if (row === undefined) this.elements.set(key, (row = this.makeRow()));
      this.fillRow(row, /** @type {Row} */ (this.shown.get(key)), first + index);
      if (row.element === next) next = next.nextSibling;
      else this.body.insertBefore(row.element, next);
    });
  }

  makeRow() {
    const cells = COLUMNS.map((column, index) =>
      h(index === 0 ? "th" : "td", { scope: index === 0 ? "row" : null, class: COUNTS.has(column) ? "number" : "", dataset: { col: column } }),
    );
    const dot = h("span", { class: "dot", role: "img" });
    const user = name("");
    cells[0].append(dot, user);
    const row = { element: /** @type {any} */ (null), cells, dot, user, button: /** @type {any} */ (null), texts: /** @type {string[]} */ ([]), told: /** @type {Row | null} */ (null) };
    row.button = h("button", { type: "button", class: "plain more", dataset: { testid: "more" }, on: { click: () => row.told && this.app.actions.person(row.told) } }, "⋯");
    row.element = h("tr", { dataset: { testid: "row" } }, cells, h("td", { class: "act" }, row.button));
    return row;
  }

  /** @param {any} row @param {Row} told @param {number} index */
  fillRow(row, told, index) {
    const { t } = this.app;
    row.element.setAttribute("aria-rowindex", String(index + 2));
    row.element.classList.toggle("gone", told.gone);
    row.element.classList.toggle("odd", index % 2 === 1);
    if (row.told === told && row.gone === told.gone) return;
    row.told = told;
    row.gone = told.gone;
    row.element.dataset.user = told.user;
    row.element.dataset.device = told.device;
    row.dot.className = `dot ${told.gone ? "offline" : told.status}`;
    const status = told.gone ? t("operator.gone") : t(`operator.status_${told.status}`);
    row.dot.title = status;
    row.dot.setAttribute("aria-label", status);
    set(row.user, told.user);
    row.button.setAttribute("aria-label", t("operator.actions_for", { user: told.user }));
    COLUMNS.forEach((column, at) => { if (at > 0) this.fillCell(row.cells[at], column, told); });
  }

  /** @param {any} cell @param {string} column @param {Row} told */
  fillCell(cell, column, told) {
    const value = told[/** @type {keyof Row} */ (column)];
    if (TIMES.has(column)) set(cell, this.app.f.time(/** @type {number | null} */ (value)));
    else if (COUNTS.has(column)) set(cell, this.app.f.count(/** @type {number} */ (value)));
    else set(cell, String(value || (column === "deviceName" ? told.device.slice(0, 8) : "")));
    if (column === "address" || column === "deviceName") cell.title = String(value);
  }
}

function spacer() {
  return h("tr", { class: "spacer", "aria-hidden": "true" }, h("td", { colspan: COLUMNS.length + 1 }));
}

/** @param {any} row @param {number} pixels */
function setHeight(row, pixels) {
  row.firstChild.style.height = `${pixels}px`;
  row.hidden = pixels <= 0;
}

/** @param {any} element @param {string} text */
function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
