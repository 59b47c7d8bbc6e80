// @ts-check
/** What the keyboard does wherever one is, and the page that says so. */

import { h } from "../common/dom.js";
import { ICONS } from "./icons.js";
import { listed } from "./reduce.js";

const KEYS = [
  ["chat.keys.switch", "Ctrl+K"],
  ["chat.keys.search_here", "Ctrl+F"],
  ["chat.keys.search", "Ctrl+Shift+F"],
  ["chat.keys.new", "Ctrl+Alt+N"],
  ["chat.keys.next", "Alt+↓"],
  ["chat.keys.previous", "Alt+↑"],
  ["chat.keys.list", "↑ ↓ Home End"],
  ["chat.keys.send", "Enter"],
  ["chat.keys.line", "Shift+Enter"],
  ["chat.keys.messages", "↑ ↓ (Shift+Tab)"],
  ["chat.keys.menu", "Enter"],
  ["chat.keys.details", "Ctrl+I"],
  ["chat.keys.escape", "Esc"],
  ["chat.keys.help", "?  F1"],
];

/** @param {any} app */
export function mount(app) {
  app.commands.help = () => help(app);
  app.menu.add({ label: `${app.t("chat.keys.title")} (?)`, icon: ICONS.keyboard, testid: "open-shortcuts", order: 95, run: () => help(app) });
  addEventListener("keydown", (event) => pressed(app, event));
}

/** @param {any} app */
function help(app) {
  const { t } = app;
  const mac = /Mac|iPhone|iPad/u.test(navigator.platform);
  const shown = (/** @type {string} */ keys) => (mac ? keys.replaceAll("Ctrl+", "⌘").replaceAll("Alt+", "⌥").replaceAll("Shift+", "⇧") : keys);
  app.dialog.open({
    title: t("chat.keys.title"),
    testid: "shortcuts",
    content: h("dl", { class: "facts keys" }, KEYS.map(([key, keys]) => [h("dt", null, h("kbd", null, shown(keys))), h("dd", null, t(key))])),
  });
}

/** @param {EventTarget | null} target */
const writes = (target) => target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/u.test(target.tagName));

/** @param {any} app @param {KeyboardEvent} event */
function pressed(app, event) {
  if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]")) return;
  const action = actionOf(app, event);
  if (!action) return;
  event.preventDefault();
  action();
}

/** What `event` asks for. @param {any} app @param {KeyboardEvent} event @returns {(() => void) | null} */
function actionOf(app, event) {
  const { commands, state, panel } = app;
  const command = (event.ctrlKey || event.metaKey) && !event.altKey;
  const key = event.key.toLowerCase();
  if (command && key === "k") return commands.switcher;
  if (command && key === "f") return () => commands.search(event.shiftKey ? null : state.current);
  if (command && key === "i" && state.current) return commands.details;
  if (event.ctrlKey && event.altKey && key === "n") return commands.newConversation;
  if (event.altKey && !event.ctrlKey && (key === "arrowdown" || key === "arrowup")) return () => step(app, key === "arrowdown" ? 1 : -1);
  if (key === "f1" || (key === "?" && !writes(event.target))) return commands.help;
  if (key === "escape") return panel.shown ? () => panel.close() : escape(app, event);
  return null;
}

/** From writing to the list; from elsewhere to writing. @param {any} app @param {KeyboardEvent} event */
function escape(app, event) {
  const { state, commands, composer } = app;
  if (!state.current) return null;
  if (event.target !== composer.field) return () => composer.focus();
  return () => (getComputedStyle(document.getElementById("back") ?? document.body).display === "none" ? commands.focusList() : commands.close());
}

/** To the next conversation of the list. @param {any} app @param {number} way */
function step(app, way) {
  const { rows } = listed(app.state);
  const at = rows.indexOf(app.state.current);
  const next = rows[at < 0 ? 0 : at + way];
  if (next) app.commands.open(next, { write: true });
}
