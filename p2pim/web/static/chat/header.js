// @ts-check
/** Over the conversation: with whom, which way it goes, and what stands in its way. */

import { byId, drawing, fill, h, perFrame } from "../common/dom.js";
import { formats, routeOfPerson } from "./format.js";
import { ICONS } from "./icons.js";
import { avatar, isGuest, presentIn, shownName, statusText } from "./people.js";
import { openRoute } from "./route.js";

/** Between two looks at the round-trip times (ms). */
const ROUTES_EVERY = 5000;

/** @param {any} app */
export function mount(app) {
  const header = new Header(app);
  const draw = perFrame(() => header.draw());
  for (const part of ["current", "people", "groups", "routes", "details", "me", "server", "agent"]) app.state.on(part, draw);
  app.state.on("current", () => header.opened(app.state.current));
  app.commands.learn = (/** @type {string} */ user) => header.learn(user);
  setInterval(() => header.measure(), ROUTES_EVERY);
}

class Header {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.format = formats(app.t);
    const { t } = app;
    this.back = h("button", { id: "back", class: "icon-button", type: "button", "aria-label": t("chat.back"), title: t("chat.back"), dataset: { testid: "back" }, on: { click: () => app.commands.close() } }, drawing(ICONS.back));
    this.picture = h("span", { class: "title-picture" });
    this.name = h("button", { class: "title-name", type: "button", on: { click: () => app.commands.details(app.state.current) } });
    this.route = h("button", { class: "title-route", type: "button", dataset: { testid: "route" }, "aria-haspopup": "dialog", on: { click: () => openRoute(app, app.state.current) } });
    this.mark = h("span", { class: "title-verified" });
    this.status = h("p", { class: "title-status" });
    const title = h("h1", { class: "title-line", dataset: { testid: "title" } }, this.name, this.mark, h("span", { class: "dash" }, " — "), this.route);
    byId("conversation-title").append(this.back, this.picture, h("div", { class: "title-text" }, title, this.status));
    app.actions.add({ label: t("chat.details"), icon: ICONS.info, testid: "open-details", order: 90, run: () => app.commands.details(app.state.current) });
  }

  draw() {
    const { state } = this.app;
    const user = state.current;
    byId("conversation-header").hidden = user === null;
    if (user === null) return;
    if (user.startsWith("#")) this.group(user);
    else this.person(user);
  }

  /** @param {string} user */
  person(user) {
    const { state, t } = this.app;
    const status = state.agent === "up" && state.server.state === "up" ? state.people.get(user)?.status ?? "unknown" : "";
    const route = state.routes.get(user) ?? state.details.get(user)?.route;
    this.set(user, status, routeOfPerson(t, this.format, route, { status, connected: state.server.state === "up", guest: isGuest(user) }), statusText(t, status));
    this.route.dataset.kind = isGuest(user) ? "classic" : route?.kind ?? "none";
    const { verified, changed } = state.details.get(user) ?? {};
    const key = changed ? "chat.keys_changed" : verified ? "chat.verified" : "";
    this.mark.className = `title-verified ${changed ? "changed" : ""}`;
    if (this.mark.dataset.key === key) return;
    this.mark.dataset.key = key;
    fill(this.mark, key && [drawing(ICONS.shield), h("span", { class: "unseen" }, `(${t(key)})`)]);
    this.mark.title = key && t(key);
  }

  /** @param {string} name */
  group(name) {
    const { state, t } = this.app;
    const group = state.groups.get(name);
    fill(this.mark);
    this.mark.dataset.key = "";
    this.route.dataset.kind = "group";
    if (!group) return this.set(name, "", t("chat.group_left"), "");
    const others = group.members.filter((/** @type {any} */ { user }) => user !== state.me?.user);
    const direct = others.filter((/** @type {any} */ { user }) => ["tcp", "udp"].includes(state.routes.get(user)?.kind)).length;
    const line = `${t.n("chat.members", group.members.length)}, ${t.n("chat.members_there", presentIn(state, group))}`;
    return this.set(name, "", t("chat.route.group", { direct, others: others.length - direct }), group.topic ? `${line} · ${group.topic}` : line);
  }

  /** @param {string} user @param {string} status @param {string} route @param {string} line */
  set(user, status, route, line) {
    const picture = `${user} ${status}`;
    if (this.picture.dataset.shows !== picture) fill(this.picture, avatar(user, status));
    this.picture.dataset.shows = picture;
    if (this.name.dataset.user !== user) fill(this.name, shownName(user));
    this.name.dataset.user = user;
    if (this.route.textContent !== route) this.route.textContent = this.route.title = route;
    if (this.status.textContent !== line) this.status.textContent = line;
  }

  /** Opening a conversation tries for a direct channel, and tells what there is. @param {string | null} user */
  async opened(user) {
    if (user === null) return;
    await this.learn(user, true);
  }

  /** @param {string} user @param {boolean} [open] */
  async learn(user, open = false) {
    const { api, state } = this.app;
    try {
      const details = await api.call("conversation", { user, open });
      state.details.set(user, details);
      if (details.route) state.routes.set(user, { user, ...details.route });
      if (!user.startsWith("#") && details.status && state.people.has(user)) Object.assign(state.people.get(user), { status: details.status, relation: details.relation });
      state.touch("details", "routes", "people");
    } catch (error) {
      if (/** @type {any} */ (error).code === "no-such-user") this.app.toast(/** @type {Error} */ (error).message, "bad");
    }
  }

  /** The round-trip times of now. */
  async measure() {
    const { api, state } = this.app;
    if (document.hidden || state.current === null || state.agent !== "up") return;
    try {
      const { routes } = await api.call("routes");
      const told = new Set(routes.map((/** @type {any} */ { user }) => user));
      for (const [user, route] of state.routes) if (!told.has(user)) state.routes.set(user, { ...route, kind: "none", address: "", rtt_ms: null });
      for (const route of routes) state.routes.set(route.user, route);
      state.touch("routes");
    } catch { /* the banner tells that the agent is gone */ }
  }
}
