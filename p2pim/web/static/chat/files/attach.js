// @ts-check
/** Files and folders for the conversation that is open: dropped on it, pasted, or chosen with a button. */

import { byId, drawing, h } from "../../common/dom.js";
import { ICONS } from "../icons.js";
import { isGuest } from "../people.js";
import { TooMany, fromDrop, fromFiles, tops } from "./gather.js";
import { StagingCard } from "./staging_card.js";

/** Names that the question whether to send shows. */
const NAMES_SHOWN = 6;

/** Whether files can be sent there: to one person, not to a group or a guest. @param {string | null} user */
const takesFiles = (user) => user !== null && !user.startsWith("#") && !isGuest(user);

/** @param {any} context see `Card` */
export function mountAttach(context) {
  const { app } = context;
  const ask = (/** @type {import("./gather.js").Entry[]} */ entries) => {
    const user = app.state.current;
    if (user !== null && entries.length > 0) askToSend(context, user, entries);
  };
  const tools = byId("composer-tools");
  const buttons = [
    chooser(app, "attach", "files.attach", ICONS.attach, { multiple: true }, ask),
    chooser(app, "attach-folder", "files.attach-folder", ICONS.folder, { webkitdirectory: true }, ask),
  ];
  tools.append(...buttons);
  app.state.on("current", () => { for (const each of buttons) each.hidden = !takesFiles(app.state.current); });
  dropTarget(app, ask);
}

/**
 * A button that opens the browser's own window for choosing.
 * @param {any} app @param {string} testid @param {string} key @param {string} icon @param {any} options @param {(entries: any[]) => void} ask
 */
function chooser(app, testid, key, icon, options, ask) {
  const input = h("input", {
    type: "file", hidden: true, tabindex: -1, "aria-hidden": "true", dataset: { testid: `${testid}-input` }, ...options,
    on: { change: () => { const entries = fromFiles(input.files); input.value = ""; ask(entries); } },
  });
  const label = app.t(key);
  const button = h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, dataset: { testid }, on: { click: () => input.click() } }, drawing(icon));
  return h("span", { class: "attach" }, button, input);
}

/** @param {any} app @param {(entries: any[]) => void} ask */
function dropTarget(app, ask) {
  const target = byId("conversation");
  const words = h("p", null);
  const cover = h("div", { class: "drop-cover", hidden: true, "aria-hidden": "true" }, drawing(ICONS.attach), words);
  target.append(cover);
  const holdsFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  const over = (/** @type {DragEvent} */ event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    const { current } = app.state;
    const inside = current !== null && target.contains(/** @type {Node} */ (event.target));
    if (event.dataTransfer) event.dataTransfer.dropEffect = inside && takesFiles(current) ? "copy" : "none";
    cover.hidden = !inside;
    if (inside) words.replaceChildren(...app.t.nodes(takesFiles(current) ? "files.drop.here" : "files.drop.no-group", { user: h("bdi", null, current) }));
  };
  document.addEventListener("dragenter", over);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) cover.hidden = true; });
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // the browser would leave the page for the file
    cover.hidden = true;
    if (takesFiles(app.state.current) && target.contains(/** @type {Node} */ (event.target))) gathered(app, fromDrop(/** @type {DataTransfer} */ (event.dataTransfer)), ask);
  });
  target.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => {
    const files = event.clipboardData?.files;
    if (!files?.length || !takesFiles(app.state.current)) return;
    event.preventDefault();
    ask(fromFiles(files));
  });
}

/** @param {any} app @param {Promise<any[]>} entries @param {(entries: any[]) => void} ask */
async function gathered(app, entries, ask) {
  try {
    ask(await entries);
  } catch (error) {
    app.toast(app.t(error instanceof TooMany ? "files.drop.too-many" : "files.drop.unreadable"), "bad");
  }
}

/** Ask for a comment and for the way, then send. @param {any} context @param {string} user @param {import("./gather.js").Entry[]} entries */
function askToSend(context, user, entries) {
  const { app, formats } = context;
  const { t } = app;
  const found = tops(entries);
  const shown = found.slice(0, NAMES_SHOWN).map((top) => h(
    "li", null, drawing(top.folder ? ICONS.folder : ICONS.attach), h("bdi", null, top.name),
    h("span", { class: "hint" }, top.folder ? `${t.n("files.count", top.files)} · ${formats.size(top.bytes)}` : formats.size(top.bytes)),
  ));
  const comment = h("input", { type: "text", id: "files-comment", maxlength: 2000, autocomplete: "off", autofocus: true, dataset: { testid: "files-comment" } });
  const route = h("select", { id: "files-route", dataset: { testid: "files-route" } }, ["auto", "direct", "relay"].map((way) => h("option", { value: way }, t(WAYS[/** @type {keyof WAYS} */ (way)]))));
  const send = () => { new StagingCard(context, user, entries, found, { comment: comment.value.trim(), route: route.value }); };
  const dialog = app.dialog.open({
    title: t.nodes("files.send.title", { user: h("bdi", null, user) }),
    testid: "send-dialog",
    content: h(
      "form", { on: { submit: (/** @type {Event} */ event) => { event.preventDefault(); send(); dialog.close(); } } },
      h("ul", { class: "files-chosen" }, shown, found.length > NAMES_SHOWN && h("li", { class: "hint" }, t.n("files.send.more", found.length - NAMES_SHOWN))),
      h("div", { class: "field" }, h("label", { for: "files-comment" }, t("files.send.comment")), comment),
      h("div", { class: "field" }, h("label", { for: "files-route" }, t("files.send.route")), route),
    ),
    actions: [{ label: t("common.cancel") }, { label: t("files.send"), kind: "primary", testid: "send-files", run: send }],
  });
}

const WAYS = { auto: "files.send.route.auto", direct: "files.send.route.direct", relay: "files.send.route.relay" };
