// @ts-check
/** Between title and messages: what has to be decided about this conversation. It also says whether one can write. */

import { byId, drawing, fill, h, perFrame } from "../common/dom.js";
import { ICONS } from "./icons.js";
import { isGuest, isThere, shownName } from "./people.js";

/** @param {any} app */
export function mount(app) {
  const draw = perFrame(() => show(app));
  for (const part of ["current", "people", "groups", "details", "agent"]) app.state.on(part, draw);
}

/** @param {any} app */
function show(app) {
  const { state } = app;
  const user = state.current;
  const bar = byId("conversation-bar");
  const nobody = byId("nobody");
  nobody.hidden = user !== null;
  const asks = user === null ? null : asked(app, user);
  const shown = asks ? JSON.stringify([user, asks.key, app.lang]) : "";
  if (bar.dataset.shown !== shown) {
    bar.dataset.shown = shown;
    fill(bar, asks && h("div", { class: `bar ${asks.kind ?? ""}`, role: "status", dataset: { testid: "bar", about: asks.key } }, asks.icon && drawing(asks.icon), h("p", null, asks.text), h("div", { class: "bar-buttons" }, asks.buttons)));
  }
  byId("composer").hidden = user === null || asks?.silent === true;
  app.composer.shown();
}

/** What is to be decided, if anything. @param {any} app @param {string} user @returns {any} */
function asked(app, user) {
  const { state, t, commands } = app;
  const button = (/** @type {string} */ key, /** @type {() => void} */ run, kind = "") => h("button", { type: "button", class: kind, dataset: { testid: key.replace("chat.", "bar-") }, on: { click: run } }, t(key));
  const text = (/** @type {string} */ key) => t.nodes(key, { user: shownName(user) });
  if (user.startsWith("#")) {
    const gone = state.loaded && !state.groups.has(user);
    return gone ? { key: "left", text: t("chat.group_left_bar"), buttons: [], silent: true } : null;
  }
  if (isGuest(user)) return { key: "guest", kind: "bad", icon: ICONS.failed, text: text("chat.guest_bar"), buttons: [] };
  const details = state.details.get(user);
  const relation = state.people.get(user)?.relation ?? details?.relation;
  if (details?.changed) {
    const verify = commands.verify && button("chat.verify", () => commands.verify(user), "primary");
    return { key: "changed", kind: "bad", icon: ICONS.shield, text: text("chat.keys_changed_bar"), buttons: [verify] };
  }
  if (relation === "blocked") return { key: "blocked", text: text("chat.blocked_bar"), buttons: [button("chat.unblock", () => commands.unblock(user))], silent: true };
  if (relation === "asks") {
    const buttons = [button("chat.accept", () => commands.add(user), "primary"), button("chat.decline", () => commands.decline(user)), button("chat.block", () => commands.block(user), "plain")];
    return { key: "asks", text: text("chat.asks"), buttons };
  }
  if (relation === "" && user !== state.me?.user && !isThere(state.people.get(user)?.status)) {
    return { key: "stranger", text: text("chat.stranger_bar"), buttons: [button("chat.add", () => commands.add(user)), button("chat.block", () => commands.block(user), "plain")] };
  }
  return null;
}
