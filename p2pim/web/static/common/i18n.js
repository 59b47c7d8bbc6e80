// @ts-check
/** Texts of the page in the person's language: one flat file of strings per language, with {placeholders}. */

/** Characters that change the direction of what stands around them. */
const DIRECTIONAL = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;

/**
 * `text` so that its direction changes nothing around it (Unicode's first-strong isolate). Texts that could not are
 * left as they are.
 * @param {string} text
 */
export function isolate(text) {
  if (!DIRECTIONAL.test(text)) return text;
  return `\u2068${text.replace(/[\u2066-\u2069]/gu, "")}\u2069`;
}

/**
 * What translates: `t(key, vars)`; `t.n(key, n, vars)` for what is counted (`KEY.one`, `KEY.other`, {n} is the number);
 * `t.nodes(key, vars)` when variables are elements. A key that is missing shows as itself.
 *
 * @param {Record<string, string>} strings
 * @param {string} lang as in <html lang>
 */
export function translator(strings, lang) {
  const numbers = new Intl.NumberFormat(lang);
  const plural = new Intl.PluralRules(lang);
  const show = (/** @type {any} */ value) => (typeof value === "number" ? numbers.format(value) : isolate(String(value)));

  /** @param {string} key @param {Record<string, any>} [vars] */
  function t(key, vars = {}) {
    return text(key).replace(/\{(\w+)\}/gu, (whole, slot) => (slot in vars ? show(vars[slot]) : whole));
  }
  const text = (/** @type {string} */ key) => (Object.hasOwn(strings, key) ? strings[key] : key);
  const counted = (/** @type {string} */ key, /** @type {number} */ n) => {
    const exact = `${key}.${plural.select(n)}`;
    return Object.hasOwn(strings, exact) ? exact : `${key}.other`;
  };
  t.lang = lang;
  t.has = (/** @type {string} */ key) => Object.hasOwn(strings, key);
  t.n = (/** @type {string} */ key, /** @type {number} */ n, /** @type {Record<string, any>} */ vars = {}) =>
    t(counted(key, n), { n, ...vars });
  t.nodes = (/** @type {string} */ key, /** @type {Record<string, any>} */ vars = {}) =>
    text(key).split(/(\{\w+\})/u).filter(Boolean).map((part) => {
      const slot = /^\{(\w+)\}$/u.exec(part)?.[1];
      if (slot === undefined || !(slot in vars)) return part;
      return vars[slot] instanceof Node ? vars[slot] : show(vars[slot]);
    });
  return t;
}

/** The strings of the language that the page is in. @returns {Promise<ReturnType<typeof translator>>} */
export async function loadTranslator() {
  const lang = document.documentElement.lang || "en";
  const address = document.documentElement.dataset.strings ?? `/strings/${encodeURIComponent(lang)}.json`;
  const answer = await fetch(address, { credentials: "same-origin" });
  return translator(answer.ok ? await answer.json() : {}, lang);
}
