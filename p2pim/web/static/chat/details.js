// @ts-check
/** Beside the conversation: all about the other side. */

import { drawing, fill, h, perFrame } from "../common/dom.js";
import { groupDetails } from "./groups.js";
import { ICONS } from "./icons.js";
import { avatar, guestTag, isGuest, shownName, statusText } from "./people.js";
import { routeFacts } from "./route.js";

/** @param {any} app */
export function mount(app) {
  const { panel, state, t } = app;
  const body = h("div", { class: "details" });
  const draw = perFrame(() => {
    const user = state.current;
    if (panel.shown !== "details" || !user) return;
    if (body.contains(document.activeElement) && /^(INPUT|SELECT|TEXTAREA)$/u.test(document.activeElement?.tagName ?? "")) return;
    const focused = /** @type {HTMLElement | null} */ (body.contains(document.activeElement) ? document.activeElement : null)?.dataset.testid;
    fill(body, user.startsWith("#") ? groupDetails(app, user) : personDetails(app, user));
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`[data-testid="${CSS.escape(focused)}"]`))?.focus();
  });
  for (const part of ["people", "groups", "details", "routes", "current", "server"]) state.on(part, draw);
  app.commands.details = () => {
    if (panel.shown === "details") { panel.close(); return; }
    panel.open({ title: t("chat.details"), content: body, testid: "details" });
    draw();
  };
  app.commands.redrawDetails = draw;
}

/** @param {any} app @param {string} user @returns {any[]} */
function personDetails(app, user) {
  const { state, t, commands } = app;
  const person = state.people.get(user);
  const known = state.details.get(user);
  const relation = person?.relation ?? known?.relation ?? "";
  const mine = user === state.me?.user;
  const button = (/** @type {string} */ key, /** @type {() => void} */ run, /** @type {string} */ icon, kind = "") =>
    h("button", { type: "button", class: `wide-button ${kind}`, dataset: { testid: key.replace("chat.", "details-") }, on: { click: run } }, drawing(icon), t(key));
  return [
    h("div", { class: "details-head" }, avatar(user, person?.status), h("p", { class: "details-name" }, shownName(user), guestTag(t, user)), h("p", { class: "hint" }, statusText(t, person?.status ?? ""))),
    known && !isGuest(user) && h("p", { class: `details-verified ${known.changed ? "changed" : ""}` }, drawing(ICONS.shield), t(known.changed ? "chat.keys_changed" : known.verified ? "chat.verified" : "chat.not_verified")),
    !mine && [h("h3", null, t("chat.route.heading")), routeFacts(app, user)],
    known?.devices?.length > 0 && [h("h3", null, t("chat.devices")), h("ul", { class: "devices" }, known.devices.map((/** @type {any} */ device) => h("li", null, h("bdi", null, device.name || String(device.id ?? device.device ?? "").slice(0, 8)), device.address && h("span", { class: "hint" }, ` ${device.address}`))))],
    h("div", { class: "details-buttons" },
      relation === "contact" && !mine && button("chat.group_with", () => commands.newGroup([user]), ICONS.people),
      relation === "" && !mine && !isGuest(user) && button("chat.add", () => commands.add(user), ICONS.plus),
      relation === "asks" && button("chat.accept", () => commands.add(user), ICONS.check),
      button("chat.forget", () => commands.forget(user), ICONS.trash, "danger"),
      (relation === "contact" || relation === "requested") && button(relation === "contact" ? "chat.remove" : "chat.withdraw", () => commands.remove(user), ICONS.cross, "danger"),
      relation === "blocked" ? button("chat.unblock", () => commands.unblock(user), ICONS.check) : !mine && !isGuest(user) && button("chat.block", () => commands.block(user), ICONS.failed, "danger")),
  ];
}
