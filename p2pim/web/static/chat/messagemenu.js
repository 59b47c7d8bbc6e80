// @ts-check
/** What one does with a message: copy it, look at how it went, delete it here. By pointer and by keyboard. */

import { byId, drawing, fill, h } from "../common/dom.js";
import { formats, routeOfMessage } from "./format.js";
import { ICONS } from "./icons.js";
import { openMenu } from "./menu.js";
import { shownName } from "./people.js";
import { advances } from "./reduce.js";
import { ticks } from "./ticks.js";

/** @param {any} app */
export function mount(app) {
  const scroller = byId("messages");
  const { t } = app;
  const format = formats(t);
  // One button, which goes to the message that is looked at: one for each would make drawing slow.
  const more = h("button", { class: "icon-button message-more", type: "button", tabindex: -1, "aria-label": t("chat.message_menu"), title: t("chat.message_menu"), "aria-haspopup": "menu" }, drawing(ICONS.more));
  const look = (/** @type {any} */ event) => {
    const element = event.target.closest?.(".message");
    if (!element || more.parentNode === element) return;
    element.querySelector(".bubble").after(more);
    const time = element.querySelector("time");
    time.title ||= format.moment(time.dateTime);
  };
  scroller.addEventListener("pointerover", look, { passive: true });
  scroller.addEventListener("focusin", look);
  more.addEventListener("click", () => menu(app, more.closest(".message"), more));
  scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => keys(app, scroller, event));
  app.commands.groupReceipt = (/** @type {any} */ event) => groupReceipt(app, event);
}

/** @param {any} app @param {any} element @param {HTMLElement} anchor */
function menu(app, element, anchor) {
  const { t, commands } = app;
  const { entry } = element;
  openMenu(anchor, [
    { label: t("chat.copy"), icon: ICONS.copy, testid: "copy", run: () => copy(app, entry.text) },
    { label: t("chat.message_info"), icon: ICONS.info, testid: "message-info", run: () => info(app, entry) },
    entry.id && { label: t("chat.delete_message"), icon: ICONS.trash, danger: true, testid: "delete-message", run: () => commands.deleteMessage(entry) },
  ], { label: t("chat.message_menu") });
}

/** @param {any} app @param {string} text */
async function copy(app, text) {
  try {
    await navigator.clipboard.writeText(text);
    app.toast(app.t("chat.copied"), "good");
  } catch {
    app.toast(app.t("chat.copy_refused"), "bad");
  }
}

/** Arrows go from message to message; Enter opens the menu of one. @param {any} app @param {HTMLElement} scroller @param {KeyboardEvent} event */
function keys(app, scroller, event) {
  const target = /** @type {HTMLElement} */ (event.target);
  const focused = /** @type {HTMLElement | null} */ (target.closest(".message"));
  if (target !== scroller && target !== focused) return;
  const all = /** @type {HTMLElement[]} */ ([...scroller.querySelectorAll(".message")]);
  const at = focused ? all.indexOf(focused) : all.length;
  if (event.key === "ArrowUp" || event.key === "ArrowDown") {
    const next = all[Math.max(0, Math.min(all.length - 1, at + (event.key === "ArrowUp" ? -1 : 1)))];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  } else if (event.key === "End") app.history.loader.toNewest();
  else if (event.key === "Escape") app.composer.focus();
  else if (focused && (event.key === "Enter" || event.key === "ContextMenu")) menu(app, focused, /** @type {HTMLElement} */ (focused.querySelector(".message-more")));
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** How a message went, and how far each member of a group is with it. @param {any} app @param {any} entry */
function info(app, entry) {
  const { t } = app;
  const format = formats(t);
  const time = (/** @type {string | null} */ iso) => iso && h("time", { datetime: iso }, format.moment(iso));
  const rows = [
    ["chat.info.from", entry.direction === "in" && shownName(entry.sender ?? entry.user)],
    ["chat.info.sent", time(entry.sent_at)],
    ["chat.info.received", time(entry.received_at)],
    ["chat.info.read", entry.direction === "out" && time(entry.read_at)],
    ["chat.info.state", entry.direction === "out" && t(`chat.state.${entry.state}`)],
    ["chat.info.route", routeOfMessage(t, entry.route, entry.address)],
    ["chat.info.id", entry.id && h("code", null, entry.id)],
  ].filter(([, value]) => value);
  const members = h("dl", { class: "facts receipts", dataset: { testid: "receipts" } });
  const draw = () => fill(members, (entry.members ?? []).map((/** @type {any} */ member) => [h("dt", null, shownName(member.user)), h("dd", { dataset: { user: member.user, state: member.state } }, ticks(t, member.state), " ", t.has(`chat.state.${member.state}`) ? t(`chat.state.${member.state}`) : member.state, " ", member.at && h("small", null, time(member.at)))]));
  draw();
  entry.redrawInfo = draw;
  app.dialog.open({
    title: t("chat.message_info"), testid: "info-dialog",
    content: [h("dl", { class: "facts" }, rows.map(([key, value]) => [h("dt", null, t(/** @type {string} */ (key))), h("dd", null, value)])), entry.members && [h("h3", null, t("chat.info.members")), members]].flat().filter(Boolean),
    onClose: () => { delete entry.redrawInfo; },
  });
}

/** Of states of members, the message as a whole is where the last of them is. @param {any[]} members */
function leastState(members) {
  return members.map(({ state }) => state).reduce((least, state) => (advances(state, least) ? state : least));
}

/** A member of a group got or read a message of mine. @param {any} app @param {any} event */
function groupReceipt(app, event) {
  const entry = app.history.window.byId.get(event.id);
  if (!entry) return;
  entry.members ??= (app.state.groups.get(event.group)?.members ?? []).filter((/** @type {any} */ { user }) => user !== app.state.me?.user).map((/** @type {any} */ { user }) => ({ user, state: "sent" }));
  const member = entry.members.find((/** @type {any} */ { user }) => user === event.user);
  if (member && advances(member.state, event.state)) Object.assign(member, { state: event.state, at: event.at });
  const state = leastState(entry.members);
  if (advances(entry.state, state)) {
    entry.state = state;
    app.history.redraw(entry);
    const { last } = app.state.conversations.get(event.group) ?? {};
    if (last?.id === entry.id) { last.state = state; app.state.touch("conversations"); }
  }
  entry.redrawInfo?.();
}
