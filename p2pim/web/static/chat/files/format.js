// @ts-check
/** Sizes, rates, times and routes as people read them, in the page's language. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/**
 * @param {any} t the page's translator
 */
export function formats(t) {
  const numbers = [0, 1].map((digits) => new Intl.NumberFormat(t.lang, { maximumFractionDigits: digits }));
  const clock = new Intl.DateTimeFormat(t.lang, { hour: "2-digit", minute: "2-digit" });
  const day = new Intl.DateTimeFormat(t.lang, { dateStyle: "medium" });
  const moment = new Intl.DateTimeFormat(t.lang, { dateStyle: "medium", timeStyle: "short" });

  /** Bytes in binary units: `512 B`, `1.5 KiB`. @param {number} bytes */
  function size(bytes) {
    let unit = 0;
    let count = Math.max(0, bytes);
    while (count >= 1024 && unit < UNITS.length - 1) {
      count /= 1024;
      unit += 1;
    }
    return `${numbers[unit && count < 100 ? 1 : 0].format(count)}\u00a0${UNITS[unit]}`;
  }

  /** Seconds: `4 s`, `3:07`, `2:05:09`. @param {number} seconds */
  function duration(seconds) {
    if (seconds < 10) return `${numbers[1].format(seconds)}\u00a0s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${numbers[0].format(whole)}\u00a0s`;
    const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    if (!parts[0]) parts.shift();
    return parts.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
  }

  return {
    size,
    duration,
    /** @param {number} bytes a second */
    rate: (bytes) => `${size(bytes)}/s`,
    /** How far, 0 to 100, never 100 before all of it is there. @param {number} done @param {number} total */
    percent: (done, total) => (total > 0 ? Math.floor((100 * Math.min(done, total)) / total) : 0),
    /** @param {number} ms */
    milliseconds: (ms) => `${numbers[ms < 100 ? 1 : 0].format(ms)}\u00a0ms`,
    /** The time of day when it is today's, otherwise the day, too. @param {string | number} at */
    when(at) {
      const date = new Date(at);
      return date.toDateString() === new Date().toDateString() ? clock.format(date) : moment.format(date);
    },
    /** @param {string | number} at */
    day: (at) => day.format(new Date(at)),
    /** How bytes go: `direct TCP 192.0.2.7:50122`. @param {string | null} route @param {string} [address] */
    route: (route, address = "") => routeText(t, route, address),
  };
}

const ROUTES = {
  tcp: "files.route.tcp", udp: "files.route.udp", relay: "files.route.relay", mailbox: "files.route.mailbox", store: "files.route.mailbox",
};

/** @param {any} t @param {string | null} route @param {string} address */
function routeText(t, route, address) {
  const key = Object.hasOwn(ROUTES, route ?? "") ? ROUTES[/** @type {keyof ROUTES} */ (route)] : "";
  return key ? t(key, { address }).trim() : route ?? "";
}
