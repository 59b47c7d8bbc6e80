// @ts-check
/** What the server says: everything once, then changes; for whoever shows a part of it. */

import { follow } from "../common/sse.js";

/**
 * A device that is signed in. `gone`: it was; the table still shows it for as long as somebody reads there.
 * @typedef {{key: string, user: string, device: string, deviceName: string, status: string, address: string, since: number,
 *   uploads: number, lastUp: number | null, downloads: number, lastDown: number | null, hay: string, gone: boolean}} Row
 */

/** @param {any[]} told as the server has it @returns {Row} */
export function makeRow(told) {
  const [user, device, deviceName, status, address, since, uploads, lastUp, downloads, lastDown] = told;
  const hay = `${user}\n${deviceName}\n${address}\n${device}\n${status}`.toLowerCase();
  return { key: keyOf(user, device), user, device, deviceName, status, address, since, uploads, lastUp, downloads, lastDown, hay, gone: false };
}

/** @param {string} user @param {string} device */
function keyOf(user, device) {
  return `${user}/${device}`;
}

export class Store {
  constructor() {
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    /** @type {any} */
    this.overview = null;
    /** @type {any[]} */
    this.mailboxes = [];
    /** @type {string[]} */
    this.disabled = [];
    /** Newest first. @type {any[]} */
    this.refusals = [];
    /** By "hour" and "day". @type {Record<string, {step: number, points: any[][]}>} */
    this.series = {};
    /** @type {Map<string, Set<(detail: any) => void>>} */
    this.listeners = new Map();
    /** @type {{close: () => void, retry: () => void} | null} */
    this.events = null;
    this.loading = false;
  }

  /** Be told when `part` is another: "rows" {changed, gone, all}, "overview", "series", "refusals", "mailboxes", "disabled", "state".
   * @param {string} part @param {(detail: any) => void} listener */
  on(part, listener) {
    const known = this.listeners.get(part) ?? new Set();
    this.listeners.set(part, known.add(listener));
  }

  /** @param {string} part @param {any} [detail] */
  emit(part, detail) {
    for (const listener of this.listeners.get(part) ?? []) listener(detail);
  }

  /** Read everything, then follow what changes. */
  async start() {
    if (this.loading) return;
    this.loading = true;
    try {
      const answer = await fetch("/api/1/table", { credentials: "same-origin" });
      if (answer.status === 401 || answer.status === 403) { location.assign("/"); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      this.take(await answer.json());
    } catch {
      this.emit("state", "lost");
      setTimeout(() => this.start(), 3000);
      return;
    } finally {
      this.loading = false;
    }
    this.follow();
  }

  follow() {
    this.events?.close();
    this.events = follow(`/api/1/changes?after=${encodeURIComponent(this.id)}`, {
      onEvent: (event) => this.apply(event),
      onState: (state) => { this.emit("state", state); if (state === "lost") this.checkSession(); },
    });
  }

  /** Lost, or no longer let in? The events do not tell which. */
  async checkSession() {
    const answer = await fetch("/api/1/table", { credentials: "same-origin" }).catch(() => null);
    if (answer?.status === 401) location.assign("/");
  }

  /** @param {any} all */
  take(all) {
    this.id = all.id;
    this.rows = new Map(all.rows.map((/** @type {any[]} */ told) => { const row = makeRow(told); return [row.key, row]; }));
    this.overview = all.overview;
    this.mailboxes = all.mailboxes;
    this.disabled = all.disabled;
    this.refusals = all.refusals;
    this.series = all.series;
    this.emit("rows", { all: true, changed: [], gone: [] });
    for (const part of ["overview", "mailboxes", "disabled", "refusals", "series"]) this.emit(part);
    this.emit("state", "open");
  }

  /** @param {any} event */
  apply(event) {
    if (event.event === "reset") {
      this.events?.close();
      this.start();
      return;
    }
    if (event.rows || event.gone) this.applyRows(event.rows ?? [], event.gone ?? []);
    for (const part of ["overview", "mailboxes", "disabled"]) {
      if (part in event) {
        /** @type {any} */ (this)[part] = event[part];
        this.emit(part);
      }
    }
    if (event.refusals) this.applyRefusals(event.refusals);
    if (event.points) this.applyPoints(event.points);
  }

  /** @param {any[][]} told @param {string[][]} gone */
  applyRows(told, gone) {
    const changed = told.map(makeRow);
    for (const row of changed) this.rows.set(row.key, row);
    const keys = gone.map(([user, device]) => keyOf(user, device));
    for (const key of keys) {
      const row = this.rows.get(key);
      if (row) row.gone = true;
      this.rows.delete(key);
    }
    this.emit("rows", { all: false, changed, gone: keys });
  }

  /** @param {any[]} refusals newest first; those that happened again take the place of what was known */
  applyRefusals(refusals) {
    const same = (/** @type {any} */ one) => `${one.host}\n${one.user}\n${one.code}`;
    const again = new Set(refusals.map(same));
    this.refusals = [...refusals, ...this.refusals.filter((one) => !again.has(same(one)))].slice(0, 200);
    this.emit("refusals");
  }

  /** @param {Record<string, any[][]>} newest */
  applyPoints(newest) {
    for (const [span, points] of Object.entries(newest)) {
      const known = this.series[span]?.points;
      if (!known) continue;
      for (const point of points) {
        while (known.length > 0 && known[known.length - 1][0] >= point[0]) known.pop();
        known.push(point);
      }
    }
    this.emit("series");
  }
}
