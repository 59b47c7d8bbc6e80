// @ts-check
/** In which order the table shows its rows: as one asked, and without moving anything under the eyes of a reader. */

/** @typedef {import("./store.js").Row} Row */

export const COLUMNS = Object.freeze(["user", "deviceName", "address", "since", "uploads", "lastUp", "downloads", "lastDown"]);
const NUMBERS = new Set(["since", "uploads", "lastUp", "downloads", "lastDown"]);

/** Columns that show what is largest or latest first, when they are asked for. @param {string} column */
export function descendsFirst(column) {
  return NUMBERS.has(column);
}

/**
 * Keys of rows in order: what is equal stands by user and device, so that no order depends on chance.
 * @param {Iterable<Row>} rows @param {string} column @param {boolean} descending @param {string} filter @param {string} lang
 */
export function sorted(rows, column, descending, filter, lang) {
  const words = filter.toLowerCase().split(/\s+/u).filter(Boolean);
  const kept = [...rows].filter((row) => words.every((word) => row.hay.includes(word)));
  const text = new Intl.Collator(lang, { numeric: true });
  const sign = descending ? -1 : 1;
  const by = /** @type {keyof Row} */ (column);
  const compare = NUMBERS.has(column)
    ? (/** @type {Row} */ a, /** @type {Row} */ b) => numeric(a[by], b[by], sign)
    : (/** @type {Row} */ a, /** @type {Row} */ b) => sign * text.compare(String(a[by]), String(b[by]));
  kept.sort((a, b) => compare(a, b) || (a.key < b.key ? -1 : 1));
  return kept.map((row) => row.key);
}

/** Never is after everything, whichever way. @param {any} a @param {any} b @param {number} sign */
function numeric(a, b, sign) {
  if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0);
  return sign * (a - b);
}
