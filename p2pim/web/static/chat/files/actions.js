// @ts-check
/** What a person does with a transfer. */

import { h } from "../../common/dom.js";

const FOLDERS = "p2pim.accept-folders";
const FOLDERS_KEPT = 8;

/** The calls of the buttons of `Card`. @param {any} app @param {any} transfers @returns {(verb: string, s: any) => Promise<void>} */
export function actions(app, transfers) {
  /** @param {string} method @param {any} params */
  async function call(method, params) {
    const { heard } = transfers;
    try {
      transfers.told(await app.api.call(method, params), heard);
    } catch (error) {
      app.toast(/** @type {Error} */ (error).message, "bad");
      transfers.refreshSoon();
    }
  }

  return async (verb, s) => {
    if (verb === "accept-to") acceptTo(app, s, (/** @type {string} */ to) => call("accept", { id: s.transfer, to }));
    else if (verb === "show") showPath(app, s);
    else if (verb === "cancel" && s.bytes > 0 && !(await sure(app, s))) return;
    else await call(verb, { id: s.transfer });
  };
}

/** @param {any} app @param {any} s */
function sure(app, s) {
  const { t } = app;
  return app.dialog.confirm({
    title: t("files.cancel.title"),
    text: t.nodes("files.cancel.sure", { name: h("bdi", null, s.name) }),
    yes: t("files.cancel.yes"),
    danger: true,
  });
}

/** Ask for a folder; those that were named lately are offered. @param {any} app @param {any} s @param {(to: string) => Promise<void>} accept */
function acceptTo(app, s, accept) {
  const { t } = app;
  const known = rememberedFolders();
  const field = h("input", {
    id: "accept-folder", type: "text", value: known[0] ?? "", list: "accept-folders", autocomplete: "off", spellcheck: "false", autofocus: true,
    "aria-describedby": "accept-folder-hint accept-folder-error", dataset: { testid: "accept-folder" },
  });
  const error = h("p", { class: "error", id: "accept-folder-error", role: "alert" });
  const run = async () => {
    const folder = field.value.trim();
    if (!folder.startsWith("/")) {
      error.textContent = t("files.accept-to.absolute");
      field.focus();
      return false;
    }
    remember(folder);
    await accept(folder);
    return true;
  };
  const content = h(
    "form",
    { class: "field", on: { submit: async (/** @type {Event} */ event) => { event.preventDefault(); if (await run()) dialog.close(); } } },
    h("label", { for: "accept-folder" }, t("files.accept-to.label")), field,
    h("datalist", { id: "accept-folders" }, known.map((folder) => h("option", { value: folder }))),
    h("p", { class: "hint", id: "accept-folder-hint" }, t("files.accept-to.hint")), error,
  );
  const dialog = app.dialog.open({
    title: t.nodes("files.accept-to.title", { name: h("bdi", null, s.name) }),
    content,
    testid: "accept-to-dialog",
    actions: [{ label: t("common.cancel") }, { label: t("files.accept"), kind: "primary", testid: "accept-to-yes", run }],
  });
}

/** @returns {string[]} */
function rememberedFolders() {
  try {
    const found = JSON.parse(localStorage.getItem(FOLDERS) ?? "[]");
    return Array.isArray(found) ? found.filter((folder) => typeof folder === "string") : [];
  } catch {
    return [];
  }
}

/** @param {string} folder */
function remember(folder) {
  const folders = [folder, ...rememberedFolders().filter((other) => other !== folder)].slice(0, FOLDERS_KEPT);
  try {
    localStorage.setItem(FOLDERS, JSON.stringify(folders));
  } catch { /* it is typed again next time */ }
}

/** @param {any} app @param {any} s */
function showPath(app, s) {
  const { t } = app;
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(s.path);
      app.toast(t("files.path.copied"));
    } catch {
      app.toast(t("files.path.not-copied"), "bad");
    }
    return false;
  };
  app.dialog.open({
    title: t.nodes(s.direction === "in" ? "files.path.received" : "files.path.sent", { name: h("bdi", null, s.name) }),
    content: h("p", null, h("code", { class: "path", dir: "ltr", dataset: { testid: "path" } }, s.path)),
    testid: "path-dialog",
    actions: [{ label: t("files.path.copy"), run: copy }, { label: t("common.close"), kind: "primary" }],
  });
}
