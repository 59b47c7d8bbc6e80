// @ts-check
/** Times, days and routes as people read them. */

import { reasonText } from "./reasons.js";

const DAY = 86_400_000;

/** Formats of one language, each made once: making them is slow. @param {any} t */
export function formats(t) {
  const { lang } = t;
  const clock = new Intl.DateTimeFormat(lang, { hour: "numeric", minute: "2-digit" });
  const weekday = new Intl.DateTimeFormat(lang, { weekday: "short" });
  const near = new Intl.DateTimeFormat(lang, { weekday: "long", day: "numeric", month: "long" });
  const far = new Intl.DateTimeFormat(lang, { day: "numeric", month: "long", year: "numeric" });
  const short = new Intl.DateTimeFormat(lang, { day: "numeric", month: "numeric", year: "2-digit" });
  const whole = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "medium" });
  const coarse = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const fine = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });

  return {
    /** 14:02 @param {string} iso */
    time: (iso) => clock.format(new Date(iso)),
    /** Everything about a moment, for who wants to know. @param {string} iso */
    moment: (iso) => whole.format(new Date(iso)),
    /** A day's heading. @param {string} iso @param {number} [now] */
    day(iso, now = Date.now()) {
      const ago = daysBetween(iso, now);
      if (ago === 0) return t("chat.today");
      if (ago === 1) return t("chat.yesterday");
      return (ago > 0 && ago < 180 ? near : far).format(new Date(iso));
    },
    /** A moment in a column: the time today, the day before that. @param {string} iso @param {number} [now] */
    brief(iso, now = Date.now()) {
      const ago = daysBetween(iso, now);
      if (ago === 0) return clock.format(new Date(iso));
      if (ago === 1) return t("chat.yesterday");
      return (ago > 0 && ago < 7 ? weekday : short).format(new Date(iso));
    },
    /** A round trip: 0.4 ms, 12 ms. @param {number} ms */
    rtt: (ms) => t("chat.ms", { ms: (ms < 10 ? fine : coarse).format(ms < 0.1 ? 0.1 : ms) }),
  };
}

/** Midnights between a moment and `now`, on the person's clock. @param {string} iso @param {number} now */
function daysBetween(iso, now) {
  const day = (/** @type {Date} */ date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY;
  return day(new Date(now)) - day(new Date(iso));
}

/** What tells two days apart. @param {Date} date */
export const dayOf = (date) => `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;

/** When a message belongs on the screen: mine when I wrote it, others' when it came. @param {any} entry @returns {string} */
export const momentOf = (entry) => (entry.direction === "in" && entry.received_at) || entry.sent_at;

/** By which way a message went: "direct TCP 192.168.1.7:50122", "relayed". @param {any} t @param {string | null} route @param {string} [address] */
export function routeOfMessage(t, route, address = "") {
  const key = `chat.route.${route}`;
  if (!route || !t.has(key)) return "";
  return (route === "tcp" || route === "udp") && address ? t("chat.route.direct_to", { kind: route.toUpperCase(), address }) : t(key);
}

/** Rungs of the ladder, those first whose failure tells most of why there is no direct way. */
const TELLING = ["udp", "tcp-lan", "tcp-direct", "tcp-incoming"];
/** Reasons that say only that there was nothing to try. */
const EMPTY = /^(the other side has no |there was nothing to try|no address to try)/u;

/** The reason to tell first. @param {{rung: string, reason: string}[]} [reasons] @returns {string} */
function firstReason(reasons = []) {
  const rank = (/** @type {any} */ { rung, reason }) => (EMPTY.test(reason) ? 10 : 0) + (TELLING.includes(rung) ? TELLING.indexOf(rung) : TELLING.length);
  return [...reasons].sort((a, b) => rank(a) - rank(b))[0]?.reason ?? "";
}

/**
 * The best way to somebody now, for the title of a conversation: "direct TCP 192.168.1.7:50122, 0.4 ms", "relayed: why".
 * @param {any} t @param {any} format @param {any} route @param {{status?: string, connected?: boolean, guest?: boolean}} [about]
 */
export function routeOfPerson(t, format, route, { status, connected = true, guest = false } = {}) {
  if (guest) return t(connected ? "chat.route.guest" : "chat.route.no_server");
  if (route?.kind === "tcp" || route?.kind === "udp") {
    const to = t("chat.route.direct_to", { kind: route.kind.toUpperCase(), address: route.address });
    return typeof route.rtt_ms === "number" ? t("chat.route.with_rtt", { route: to, rtt: format.rtt(route.rtt_ms) }) : to;
  }
  if (!connected) return t("chat.route.no_server");
  if (status === "offline") return t("chat.route.offline");
  const why = reasonText(t, firstReason(route?.reasons));
  return why ? t("chat.route.relayed_because", { why }) : t("chat.route.relay");
}
