// @ts-check
/** Over the list: who I am, how I am, and how to begin something new. */

import { byId, drawing, fill, h, perFrame } from "../common/dom.js";
import { ICONS } from "./icons.js";
import { openMenu } from "./menu.js";
import { STATUSES, avatar, shownName, statusText } from "./people.js";

/** @param {any} app */
export function mount(app) {
  const { state, t } = app;
  const mine = h("button", { type: "button", class: "plain me", "aria-haspopup": "menu", dataset: { testid: "status" } });
  const fresh = h("button", { type: "button", class: "icon-button", "aria-label": t("chat.new"), title: `${t("chat.new")} (Ctrl+Alt+N)`, "aria-haspopup": "menu", dataset: { testid: "new-conversation" } }, drawing(ICONS.plus));
  byId("rail-head").append(mine, fresh);
  mine.addEventListener("click", () => statuses(app, mine));
  fresh.addEventListener("click", () => app.commands.newConversation());

  const draw = perFrame(() => {
    if (!state.me) return;
    const status = state.server.state === "up" && state.agent === "up" ? state.me.status : "offline";
    mine.dataset.status = status;
    fill(mine, avatar(state.me.user, status), h("span", { class: "me-text" }, h("strong", null, shownName(state.me.user)), h("small", null, statusText(t, status))), h("span", { class: "unseen" }, t("chat.status.change")));
  });
  for (const part of ["me", "server", "agent"]) state.on(part, draw);
}

/** Choose how others see me. @param {any} app @param {HTMLElement} anchor */
function statuses(app, anchor) {
  const { state, t, commands } = app;
  const set = async (/** @type {string} */ status) => {
    const me = await commands.call("status", { set: status });
    if (!me) return;
    state.me = me;
    state.touch("me");
  };
  openMenu(anchor, STATUSES.map((status) => ({
    label: h("span", { class: "status-choice" }, h("span", { class: `dot ${status}` }), statusText(t, status)),
    checked: state.me?.chosen === status,
    testid: `status-${status}`,
    run: () => set(status),
  })), { label: t("chat.status.change") });
}
