// @ts-check
/** One message as it is drawn. */

import { fill, h } from "../common/dom.js";
import { momentOf, routeOfMessage } from "./format.js";
import { linkify } from "./linkify.js";
import { hue } from "./people.js";
import { ticks } from "./ticks.js";

/** Longer texts, or with more lines, are folded until somebody wants to read them. */
const LONG = 2500;
const MANY_LINES = 30;
const EMOJI = /^(?:\p{Extended_Pictographic}(?:\ufe0f|\u200d\p{Extended_Pictographic}|[\u{1f3fb}-\u{1f3ff}])*){1,3}$/u;

/** @param {any} app @param {any} format */
export function messages(app, format) {
  const { t } = app;

  /** @param {any} entry @param {boolean} first of a run */
  function make(entry, first) {
    const text = h("div", { class: "text", dir: "auto" }, body(entry.text));
    if (EMOJI.test(entry.text)) text.classList.add("emoji");
    const bubble = h("div", { class: "bubble" }, author(entry), text, fold(entry.text, text), h("div", { class: "meta" }));
    const element = h("div", { class: `message ${entry.direction}`, role: "article", tabindex: -1, dataset: { testid: "message" } }, bubble);
    element.entry = entry;
    update(element, first);
    return element;
  }

  /** Draw what has changed: state, route, id. @param {any} element @param {boolean} [first] */
  function update(element, first) {
    const { entry } = element;
    if (first !== undefined) element.classList.toggle("first", first);
    Object.assign(element.dataset, { id: entry.id ?? "", state: entry.state, route: entry.route ?? "" });
    const route = routeOfMessage(t, entry.route, entry.address);
    fill(
      element.querySelector(".meta"),
      route && h("span", { class: "route" }, route, " "),
      h("time", { datetime: momentOf(entry) }, format.time(momentOf(entry))),
      entry.direction === "out" && [" ", ticks(t, entry.state)],
    );
    trouble(element, entry);
  }

  /** Why it has not gone, and what can be done. @param {any} element @param {any} entry */
  function trouble(element, entry) {
    element.querySelector(".trouble")?.remove();
    const failed = entry.state === "failed";
    if (entry.direction !== "out" || (!failed && !(entry.state === "waiting" && entry.note))) return;
    const button = (/** @type {string} */ key, /** @type {string} */ act) => h("button", { class: "link", type: "button", dataset: { act, testid: act } }, t(key));
    element.append(h(
      "div", { class: `trouble${failed ? " failed" : ""}` },
      h("span", null, failed ? entry.error || t("chat.failed_why_unknown") : entry.note),
      failed && [" ", button("chat.retry", "retry"), " ", button("chat.discard", "discard")],
    ));
  }

  /** @param {any} entry */
  function author(entry) {
    if (entry.direction === "out") return h("span", { class: "unseen" }, `${t("chat.you")}: `);
    if (!entry.group) return h("span", { class: "unseen" }, h("bdi", null, entry.user), ": ");
    return h("div", { class: "author", style: { "--hue": hue(entry.sender ?? "") } }, h("bdi", null, entry.sender ?? ""), h("span", { class: "unseen" }, ": "));
  }

  /** @param {string} text @param {HTMLElement} element */
  function fold(text, element) {
    if (text.length <= LONG && text.split("\n", MANY_LINES + 1).length <= MANY_LINES) return null;
    element.classList.add("folded");
    const click = () => {
      const folded = element.classList.toggle("folded");
      button.textContent = t(folded ? "chat.show_all" : "chat.show_less");
      button.setAttribute("aria-expanded", String(!folded));
    };
    const button = h("button", { class: "link unfold", type: "button", "aria-expanded": "false", on: { click } }, t("chat.show_all"));
    return button;
  }

  return { make, update };
}

/** @param {string} text */
function body(text) {
  return linkify(text).map((part) =>
    typeof part === "string" ? part : h("a", { href: part.href, title: part.href, target: "_blank", rel: "noopener noreferrer", referrerpolicy: "no-referrer" }, part.text));
}

/** `text` with the parts at `hits` (beginnings and ends, in characters) marked. @param {string} text @param {[number, number][]} hits */
export function marked(text, hits) {
  const characters = [...text];
  const part = (/** @type {number} */ from, /** @type {number | undefined} */ to) => characters.slice(from, to).join("");
  const nodes = [];
  let end = 0;
  for (const [from, to] of hits) {
    nodes.push(part(end, from), h("mark", null, part(from, to)));
    end = to;
  }
  return [...nodes, part(end, undefined)];
}
