// @ts-check
/** The part of a conversation that the page holds: consecutive messages, with what is known of its ends. No elements. */

import { dayOf, momentOf } from "./format.js";
import { advances } from "./reduce.js";

/** Messages fetched at once. */
export const PAGE = 60;
/** Messages held at most: some screens of them in each direction, so that drawing stays quick however long the history is. */
export const MOST = 300;
/** Messages of one author within so long (ms) stand together. */
const RUN = 5 * 60_000;

/** The part of a conversation that is held. */
export class MessageWindow {
  /** @param {any[]} [entries] oldest first @param {{atStart?: boolean, atEnd?: boolean}} [ends] whether these are the first and the last there are */
  constructor(entries = [], { atStart = false, atEnd = true } = {}) {
    this.entries = entries;
    this.atStart = atStart;
    this.atEnd = atEnd;
    /** By id. @type {Map<string, any>} */
    this.byId = new Map(entries.filter(({ id }) => id).map((entry) => [entry.id, entry]));
  }

  /** The ids at which to go on. */
  get first() { return this.entries.find(({ id }) => id)?.id ?? ""; }
  get last() { return this.entries.findLast(({ id }) => id)?.id ?? ""; }

  /** @param {any[]} entries those before the first @param {boolean} atStart whether nothing is before them */
  prepend(entries, atStart) {
    this.entries = [...this.#new(entries), ...this.entries];
    this.atStart = atStart;
  }

  /** @param {any[]} entries those after the last @param {boolean} atEnd whether nothing is after them */
  append(entries, atEnd) {
    this.entries = [...this.entries, ...this.#new(entries)];
    this.atEnd = atEnd;
  }

  /** A new message, if the window reaches to the end; whether it was taken. @param {any} entry */
  add(entry) {
    if (!this.atEnd || (entry.id && this.byId.has(entry.id))) return false;
    this.append([entry], true);
    return true;
  }

  /** `entry`, which was local, has got its id. Gives a copy that came by another way and is now to be dropped. @param {any} entry @param {string} id */
  named(entry, id) {
    const other = this.byId.get(id);
    entry.id = id;
    this.byId.set(id, entry);
    if (!other || other === entry) return;
    this.entries = this.entries.filter((each) => each !== other);
    if (advances(entry.state, other.state)) entry.state = other.state;
  }

  /** A message of mine reached a state; gives it when that is news. @param {string} id @param {string} state @param {Record<string, any>} [more] */
  reached(id, state, more = {}) {
    const entry = this.byId.get(id);
    if (!entry || entry.direction !== "out" || !advances(entry.state, state)) return null;
    Object.assign(entry, more, { state });
    return entry;
  }

  /** @param {any} entry */
  remove(entry) {
    this.entries = this.entries.filter((each) => each !== entry);
    if (entry.id) this.byId.delete(entry.id);
  }

  /** Let go of the oldest, but not of the last `keep`. @param {number} keep */
  trimStart(keep = MOST) {
    if (this.entries.length > keep) this.#drop(this.entries.splice(0, this.entries.length - keep), "atStart");
  }

  /** Let go of the newest, but not of the first `keep`. @param {number} keep */
  trimEnd(keep = MOST) {
    if (this.entries.length > keep) this.#drop(this.entries.splice(keep), "atEnd");
  }

  /** @param {any[]} entries @param {"atStart" | "atEnd"} end */
  #drop(entries, end) {
    for (const { id } of entries) this.byId.delete(id);
    this[end] = false;
  }

  /** Those that are not held yet. @param {any[]} entries */
  #new(entries) {
    const fresh = entries.filter(({ id }) => !id || !this.byId.has(id));
    for (const entry of fresh) if (entry.id) this.byId.set(entry.id, entry);
    return fresh;
  }
}

/**
 * @typedef {{key: string, kind: "day", at: string} | {key: string, kind: "unread"} | {key: string, kind: "extra", extra: any}
 *   | {key: string, kind: "message", entry: any, first: boolean}} Item  `first`: of a run by one author
 */

/**
 * What is to be drawn: days, the line before what is unread, messages, and what stands between them by its time.
 * @param {MessageWindow} window @param {any[]} extras by time @param {string} unreadFrom id of the first unread message, or ""
 * @returns {Item[]}
 */
export function itemsOf(window, extras, unreadFrom) {
  const { entries, atStart, atEnd } = window;
  const places = entries.map(placeOf);
  const times = places.map(({ ms }) => ms);
  const from = atStart || times.length === 0 ? -Infinity : times[0];
  const until = atEnd || times.length === 0 ? Infinity : times[times.length - 1];
  const between = extras.filter(({ at }) => at >= from && at <= until);
  /** @type {Item[]} */
  const items = [];
  let day = "";
  let before = null;
  let next = 0;
  const heading = (/** @type {{ms: number, day: string}} */ place) => {
    if (place.day === day) return;
    day = place.day;
    before = null;
    items.push({ key: `day ${day}`, kind: "day", at: new Date(place.ms).toISOString() });
  };
  const extrasUntil = (/** @type {number} */ time) => {
    for (; next < between.length && between[next].at < time; next += 1) {
      heading({ ms: between[next].at, day: dayOf(new Date(between[next].at)) });
      items.push({ key: `extra ${between[next].id}`, kind: "extra", extra: between[next] });
      before = null;
    }
  };
  entries.forEach((entry, at) => {
    extrasUntil(times[at]);
    heading(places[at]);
    if (unreadFrom && entry.id === unreadFrom) {
      items.push({ key: "unread", kind: "unread" });
      before = null;
    }
    items.push({ key: entry.key ?? entry.id, kind: "message", entry, first: !continues(before, entry) });
    before = entry;
  });
  extrasUntil(Infinity);
  return items;
}

/** Whether `entry` goes on what `before` began. @param {any} before @param {any} entry */
function continues(before, entry) {
  if (!before || before.direction !== entry.direction || (before.sender ?? "") !== (entry.sender ?? "")) return false;
  return Math.abs(placeOf(entry).ms - placeOf(before).ms) < RUN;
}

/** When entries were said, and on which day: worked out once for each. @type {WeakMap<any, {ms: number, day: string}>} */
const places = new WeakMap();

/** @param {any} entry */
function placeOf(entry) {
  let place = places.get(entry);
  if (!place) {
    const date = new Date(momentOf(entry));
    place = { ms: date.getTime(), day: dayOf(date) };
    places.set(entry, place);
  }
  return place;
}

/**
 * Which part of a page to begin with, and where the unread begins: as much as is held at most, with some of what was
 * read before it.
 * @param {any[]} entries the newest of a conversation @param {number} unread
 * @returns {{from: number, until: number, unreadFrom: string}}
 */
export function beginning(entries, unread) {
  const first = unread > 0 ? entries.findIndex(({ direction, state }) => direction === "in" && state === "received") : -1;
  if (first < 0) return { from: Math.max(0, entries.length - PAGE), until: entries.length, unreadFrom: "" };
  const from = Math.max(0, Math.min(first - 20, entries.length - PAGE));
  return { from, until: Math.min(entries.length, from + MOST - PAGE), unreadFrom: entries[first].id };
}

/** Cut `entries` into parts of which each is drawn within a frame, however long their texts are. @param {any[]} entries @returns {any[][]} */
export function slices(entries, most = 10, characters = 20_000) {
  /** @type {any[][]} */
  const parts = [];
  let size = Infinity;
  for (const entry of entries) {
    const length = entry.text.length + 50;
    if (size + length > characters || parts[parts.length - 1].length >= most) {
      parts.push([]);
      size = 0;
    }
    parts[parts.length - 1].push(entry);
    size += length;
  }
  return parts;
}
