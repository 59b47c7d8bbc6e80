// @ts-check
/** Where a transfer stands, in words. */

import { ended } from "./store.js";

const DISRUPTED = {
  rejected: { in: "files.ended.rejected.in", out: "files.ended.rejected.out" },
  cancelled: { in: "files.ended.cancelled", out: "files.ended.cancelled" },
  "peer-cancelled": { in: "files.ended.peer-cancelled", out: "files.ended.peer-cancelled" },
  "peer-offline": { in: "files.ended.peer-offline", out: "files.ended.peer-offline" },
  offline: { in: "files.ended.offline", out: "files.ended.offline" },
  error: { in: "files.ended.error", out: "files.ended.error" },
  "peer-error": { in: "files.ended.peer-error", out: "files.ended.peer-error" },
  "too-slow": { in: "files.ended.too-slow", out: "files.ended.too-slow" },
  "no-answer": { in: "files.ended.no-answer", out: "files.ended.no-answer" },
  expired: { in: "files.ended.expired.in", out: "files.ended.expired.out" },
  elsewhere: { in: "files.ended.elsewhere", out: "files.ended.elsewhere" },
};
const OFFLINE = { "peer-offline": "files.waits.peer-offline", offline: "files.waits.offline" };
const PAUSED = { me: "files.paused.me", peer: "files.paused.peer", both: "files.paused.both" };
const PLAIN = {
  finishing: { in: "files.state.finishing", out: "files.state.finishing" },
  completed: { in: "files.state.received", out: "files.state.sent" },
};

/** @param {Record<string, any>} table @param {string} name */
const look = (table, name) => (Object.hasOwn(table, name) ? table[name] : undefined);

/**
 * One sentence: what happens, or what it waits for and whether it goes on by itself.
 * @param {any} t @param {any} f formats @param {any} s the transfer
 */
export function stateText(t, f, s) {
  const user = s.user;
  if (s.state === "disrupted") {
    const key = look(DISRUPTED, s.reason)?.[s.direction];
    const text = key ? t(key, { user }) : t("files.ended.other", { reason: s.reason });
    return s.message && TELLING.has(s.reason) ? t("files.with-message", { text, message: plain(s.message) }) : text;
  }
  if (s.state === "paused") {
    if (s.reason === "no-space") return t("files.paused.no-space");
    return t(look(PAUSED, s.paused) ?? PAUSED.me, { user });
  }
  if (s.state === "stored") {
    return s.expires ? t("files.stored.until", { user, day: f.day(s.expires) }) : t("files.stored", { user });
  }
  if (s.state === "running") return t(running(s), { user });
  const known = look(PLAIN, s.state)?.[s.direction];
  return known ? t(known, { user }) : waiting(t, s);
}

/** Reasons whose message says more than the reason. */
const TELLING = new Set(["error", "peer-error", "rejected", "peer-offline"]);

/** A message without the code in front of it. @param {string} message */
function plain(message) {
  return message.replace(/^[a-z][a-z-]*: /u, "");
}

/** @param {any} s */
function running(s) {
  if (s.direction === "in") return s.expires ? "files.state.fetching" : "files.state.receiving";
  return s.expires ? "files.state.leaving" : "files.state.sending";
}

/** @param {any} t @param {any} s */
function waiting(t, s) {
  const user = s.user;
  if (s.state === "offered" && s.direction === "in") {
    return s.message ? t("files.offered.why", { message: s.message }) : t("files.offered.in", { user });
  }
  const offline = look(OFFLINE, s.reason);
  if (offline) return t(offline, { user });
  if (s.state === "offered") return t("files.offered.out", { user });
  return t(s.expires ? "files.waits.server" : "files.waits.route", { user });
}

/**
 * The figures: how much of it, how fast, how long still, which way.
 * @param {any} t @param {any} f formats @param {any} s the transfer @returns {string[]}
 */
export function facts(t, f, s) {
  const size = f.size(s.total);
  if (s.state === "completed") {
    const took = s.seconds > 0.05 ? t("files.took", { time: f.duration(s.seconds), rate: f.rate(s.total / s.seconds) }) : "";
    return [size, took, s.route ? f.route(s.route) : ""].filter(Boolean);
  }
  if (s.state === "stored") return [size];
  const some = s.bytes > 0 ? t("files.of", { done: f.size(s.bytes), total: size }) : size;
  if (ended(s) || s.state !== "running") return [some];
  const left = s.rate > 0 ? t("files.left", { time: f.duration((s.total - s.bytes) / s.rate) }) : "";
  return [some, s.rate > 0 ? f.rate(s.rate) : "", left, s.route ? f.route(s.route) : ""].filter(Boolean);
}

/** How many files, when it is a folder. @param {any} t @param {any} s */
export function filesText(t, s) {
  return s.folder || s.files !== 1 ? t.n("files.count", s.files) : "";
}
