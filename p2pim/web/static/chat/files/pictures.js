// @ts-check
/** Pictures that were sent or received, shown small in the conversation and large when asked for. Nothing else is shown. */

import { h } from "../../common/dom.js";

const NAMES = /\.(png|jpe?g|gif|webp|avif)$/iu;

/** Bytes above which nobody's browser is asked to draw it unasked. */
const LARGEST = 32 * 1024 * 1024;

/** Whether a transfer is, by its name, a picture whose bytes are here. What it really is the agent looks at. @param {any} s */
export function isPicture(s) {
  const here = s.direction === "out" ? s.state !== "disrupted" || s.reason !== "error" : s.state === "completed";
  return here && !s.folder && s.files === 1 && s.total > 0 && s.total <= LARGEST && NAMES.test(s.name);
}

/** A button with the picture on it; gone when it cannot be drawn. @param {any} app @param {any} s */
export function pictureView(app, s) {
  const address = `/api/1/transfers/${encodeURIComponent(s.transfer)}/file`;
  const alt = app.t(s.direction === "in" ? "files.picture.from" : "files.picture.to", { name: s.name, user: s.user });
  const image = h("img", { src: address, alt, loading: "lazy", decoding: "async", dataset: { testid: "picture" } });
  const button = h("button", { type: "button", class: "picture-button", title: app.t("files.picture.enlarge"), on: { click: () => enlarge(app, s, address, alt) } }, image);
  image.addEventListener("error", () => button.remove());
  return button;
}

/** @param {any} app @param {any} s @param {string} address @param {string} alt */
function enlarge(app, s, address, alt) {
  app.dialog.open({
    title: h("bdi", null, s.name),
    kind: "wide picture-dialog",
    testid: "picture-large",
    content: h("img", { class: "picture-large", src: address, alt }),
  });
}
