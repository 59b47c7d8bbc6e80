// @ts-check
/** Numbers, sizes and times in the language of the page. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** @param {string} lang */
export function formats(lang) {
  const whole = new Intl.NumberFormat(lang);
  const short = new Intl.NumberFormat(lang, { maximumSignificantDigits: 3 });
  const percent = new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 1 });
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(lang, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  /** @param {number} bytes */
  function size(bytes) {
    let unit = 0;
    let value = bytes;
    while (value >= 1024 && unit < UNITS.length - 1) { value /= 1024; unit++; }
    return `${short.format(value)} ${UNITS[unit]}`;
  }

  /** The time alone when it was in the last 20 hours. @param {number | null} seconds since 1970 */
  function time(seconds) {
    if (seconds === null) return "–";
    const then = new Date(seconds * 1000);
    return Math.abs(Date.now() - then.getTime()) < 20 * 3_600_000 ? clock.format(then) : day.format(then);
  }

  return {
    count: (/** @type {number} */ n) => whole.format(n),
    rate: (/** @type {number} */ n) => short.format(n),
    percent: (/** @type {number} */ n) => percent.format(n),
    size,
    time,
    moment: (/** @type {number} */ seconds) => day.format(new Date(seconds * 1000)),
    clock: (/** @type {number} */ seconds) => clock.format(new Date(seconds * 1000)),
    iso: (/** @type {number} */ seconds) => new Date(seconds * 1000).toISOString(),
  };
}
