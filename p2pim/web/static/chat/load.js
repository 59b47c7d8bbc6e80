// @ts-check
/** Reading what the agent knows, at the beginning and whenever events were missed; then following its events. */

import { apply } from "./reduce.js";

/** Read everything, then follow. @param {any} app */
export async function load(app) {
  app.events.on("*", (/** @type {any} */ event) => app.state.touch(...apply(app.state, event, Date.now())));
  app.events.on("reset", () => refresh(app));
  app.events.on("stream-open", () => refresh(app));
  app.events.start("/api/1/events");
}

/** Read everything again. @param {any} app */
export async function refresh(app) {
  const { api, state } = app;
  try {
    const [me, who, groups, conversations, routes] = await Promise.all([
      api.call("status"), api.call("who", { all: true }), api.call("groups"), api.call("conversations"), api.call("routes"),
    ]);
    state.me = me;
    state.people = new Map(who.people.map((/** @type {any} */ person) => [person.user, person]));
    state.groups = new Map(groups.groups.map((/** @type {any} */ group) => [group.group, group]));
    state.conversations = new Map(conversations.conversations.map((/** @type {any} */ each) => [each.user, each]));
    state.routes = new Map(routes.routes.map((/** @type {any} */ route) => [route.user, route]));
    state.server = { state: me.connected ? "up" : "down", reason: "" };
    state.agent = "up";
    state.loaded = true;
    state.touch("me", "people", "groups", "conversations", "routes", "server", "agent");
  } catch (error) {
    console.error(error);
  }
}
