// @ts-check
/** All that is known of the way to somebody, and of why there is no better one. */

import { h } from "../common/dom.js";
import { formats, routeOfPerson } from "./format.js";
import { isGuest, shownName } from "./people.js";
import { reasonLang, reasonText } from "./reasons.js";

/** @param {any} app @param {string | null} user */
export function openRoute(app, user) {
  if (!user) return;
  const { t } = app;
  app.dialog.open({
    title: h("span", null, ...t.nodes("chat.route.title", { user: shownName(user) })),
    testid: "route-details",
    content: user.startsWith("#") ? members(app, user) : routeFacts(app, user),
    actions: user.startsWith("#") || isGuest(user) || ["tcp", "udp"].includes(app.state.routes.get(user)?.kind) ? [] : [{ label: t("chat.route.try_again"), kind: "primary", testid: "route-try", run: () => retry(app, user) }],
  });
}

/** @param {any} app @param {string} user @returns {Node[]} */
export function routeFacts(app, user) {
  const { state, t } = app;
  const route = state.routes.get(user) ?? state.details.get(user)?.route;
  const format = formats(t);
  const direct = route?.kind === "tcp" || route?.kind === "udp";
  const status = state.people.get(user)?.status;
  const rows = [
    [t("chat.route.way"), routeOfPerson(t, format, direct ? { ...route, rtt_ms: null } : { kind: route?.kind }, { status, connected: state.server.state === "up", guest: isGuest(user) })],
    direct && typeof route.rtt_ms === "number" && [t("chat.route.rtt"), format.rtt(route.rtt_ms)],
    direct && [t("chat.route.network"), t(route.same_lan ? "chat.route.same_lan" : "chat.route.other_lan")],
  ].filter(Boolean);
  const reasons = route?.reasons ?? [];
  return [
    h("dl", { class: "facts" }, rows.map((row) => [h("dt", null, row[0]), h("dd", null, row[1])])),
    h("p", { class: "hint" }, t(isGuest(user) ? "chat.route.hint_guest" : direct ? "chat.route.hint_direct" : "chat.route.hint_relay")),
    !direct && reasons.length > 0 && [
      h("h3", null, t("chat.route.reasons")),
      h("ol", { class: "reasons", dataset: { testid: "reasons" } }, reasons.map((/** @type {any} */ { rung, reason }) =>
        h("li", null, h("strong", null, t.has(`chat.rung.${rung}`) ? t(`chat.rung.${rung}`) : rung), ": ", h("bdi", { lang: reasonLang(t, reason) }, reasonText(t, reason))))),
    ],
  ].flat(2).filter(Boolean);
}

/** @param {any} app @param {string} name */
function members(app, name) {
  const { state, t } = app;
  const format = formats(t);
  const others = (state.groups.get(name)?.members ?? []).filter((/** @type {any} */ { user }) => user !== state.me?.user);
  return h("dl", { class: "facts" }, others.map((/** @type {any} */ { user }) => [
    h("dt", null, shownName(user)),
    h("dd", null, routeOfPerson(t, format, state.routes.get(user), { status: state.people.get(user)?.status, connected: state.server.state === "up" })),
  ]));
}

/** @param {any} app @param {string} user */
async function retry(app, user) {
  try {
    await app.api.call("connect", { user });
    app.toast(app.t("chat.route.found"), "good");
  } catch (error) {
    app.toast(/** @type {Error} */ (error).message, "bad");
  }
  app.commands.learn(user);
}
