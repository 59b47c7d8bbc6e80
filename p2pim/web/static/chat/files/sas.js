// @ts-check
/** Comparing a short string with the other side: seven pictures, or three numbers, that both must see. */

import { fill, h, name } from "../../common/dom.js";
import { PICTURES } from "./sas_pictures.js";

/**
 * The part of the dialog in which keys are compared live.
 * @param {any} app @param {string} user
 * @param {{signal: AbortSignal, now: boolean, done: () => void}} how `now`: begin at once; `done` when it went well
 */
export function compareView(app, user, { signal, now, done }) {
  const { t } = app;
  const body = h("div", { class: "compare", "aria-live": "polite" });
  const view = h("section", null, h("h3", null, t("verify.sas")), body);

  function idle(error = "") {
    fill(
      body,
      h("p", { class: "hint" }, t.nodes("verify.sas.how", { user: name(user) })),
      error && h("p", { class: "error-text", role: "alert", dataset: { testid: "compare-failed" } }, error),
      h("button", { type: "button", class: "primary", dataset: { testid: "compare" }, on: { click: begin } }, t(error ? "verify.sas.again" : "verify.sas.begin")),
    );
  }

  async function begin() {
    const own = new AbortController();
    const stop = () => own.abort();
    signal.addEventListener("abort", stop);
    const cancel = h("button", { type: "button", on: { click: stop } }, t("common.cancel"));
    fill(body, h("p", { dataset: { testid: "compare-waiting" } }, t.nodes("verify.sas.waiting", { user: name(user) })), cancel);
    cancel.focus();
    try {
      await app.api.call("compare", { user }, { signal: own.signal, onItem: (/** @type {any} */ item) => show(item) });
      done();
    } catch (error) {
      idle(own.signal.aborted ? "" : /** @type {Error} */ (error).message);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** @param {{run: string, emoji: string[], decimals: number[]}} item */
  function show(item) {
    const answer = async (/** @type {boolean} */ same) => {
      if (same) fill(body, pictures(item), h("p", null, t.nodes("verify.sas.other-side", { user: name(user) })));
      await app.api.call("match", { run: item.run, same }).catch(() => {}); // `compare` itself says how it ended
    };
    const yes = h("button", { type: "button", class: "primary", dataset: { testid: "sas-match" }, on: { click: () => answer(true) } }, t("verify.sas.same"));
    const no = h("button", { type: "button", class: "danger", dataset: { testid: "sas-differ" }, on: { click: () => answer(false) } }, t("verify.sas.different"));
    fill(body, h("p", null, t.nodes("verify.sas.look", { user: name(user) })), pictures(item), h("div", { class: "transfer-buttons" }, yes, no));
    yes.focus();
  }

  /** @param {{emoji: string[], decimals: number[]}} item */
  function pictures(item) {
    return h(
      "div", { class: "sas", dataset: { testid: "sas", names: item.emoji.join(" "), decimals: item.decimals.join(" ") } },
      h("ol", { class: "sas-pictures" }, item.emoji.map((each) => {
        const [picture, key] = PICTURES[each] ?? ["", ""];
        return h("li", null, isDrawn(picture) && h("span", { class: "sas-picture", "aria-hidden": "true" }, picture), h("span", null, key ? t(key) : each));
      })),
      h("p", { class: "hint" }, t("verify.sas.numbers"), " ", h("span", { class: "mono", dir: "ltr" }, item.decimals.join(" "))),
    );
  }

  if (now) queueMicrotask(begin);
  else idle();
  return view;
}

/** What every font lacks: how a browser shows what it has no picture for. */
const LACKING = "\u{10fffe}";
/** @type {Map<string, string>} */
const drawn = new Map();

/** Whether this computer has a font with that picture; a box instead of it would only look broken. @param {string} picture */
function isDrawn(picture) {
  return pixels(picture) !== pixels(LACKING);
}

/** @param {string} text */
function pixels(text) {
  const known = drawn.get(text);
  if (known !== undefined) return known;
  const canvas = h("canvas", { width: 24, height: 24 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) return text;
  context.font = "20px sans-serif";
  context.fillText(text, 0, 20);
  const found = context.getImageData(0, 0, 24, 24).data.join(" ");
  drawn.set(text, found);
  return found;
}
