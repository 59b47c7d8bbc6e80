// @ts-check
/** Links in what people write: https alone, and only where the address can be read for what it is. */

const LINK = /https:\/\/[^\s<>"`{}|\\^\u0000-\u0020\u007f-\u009f]+/giu;
/** What changes the order or is not seen; nothing that holds it is made a link. */
const DECEPTIVE = /[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;
const TRAILING = /[.,;:!?'"»”’…。，；：！？、]+$/u;
const PAIRS = { ")": "(", "]": "[", "）": "（", "】": "【", "」": "「", "》": "《" };
/** Links after the first so many of one message are text. */
const MOST = 100;

/**
 * Cut `text` into plain parts and links.
 * @param {string} text @returns {(string | {href: string, text: string})[]}
 */
export function linkify(text) {
  const parts = [];
  let end = 0;
  let count = 0;
  for (const match of text.matchAll(LINK)) {
    const shown = trimmed(match[0]);
    const href = count < MOST ? address(shown) : null;
    if (href === null) continue;
    count += 1;
    if (match.index > end) parts.push(text.slice(end, match.index));
    parts.push({ href, text: shown });
    end = match.index + shown.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

/** Without what belongs to the sentence around it. @param {string} link */
function trimmed(link) {
  for (;;) {
    const before = link;
    link = link.replace(TRAILING, "");
    const last = link.at(-1) ?? "";
    const opening = PAIRS[/** @type {keyof typeof PAIRS} */ (last)];
    if (opening && count(link, last) > count(link, opening)) link = link.slice(0, -1);
    if (link === before) return link;
  }
}

/** @param {string} text @param {string} character */
const count = (text, character) => text.split(character).length - 1;

/** The address as a browser would call it, or null when it is none that may be opened. @param {string} link */
function address(link) {
  if (link.length > 2000 || DECEPTIVE.test(link) || !URL.canParse(link)) return null;
  const url = new URL(link);
  return url.protocol === "https:" && url.hostname && !url.username && !url.password ? url.href : null;
}
