// @ts-check
/** Reading what the agent knows, at the beginning and whenever events were missed; then following its events. */

import { apply } from "./reduce.js";

/** Read everything, and follow what happens. @param {any} app */
export async function load(app) {
  const { events, state } = app;
  let loaded = false;
  events.on("*", (/** @type {any} */ event) => state.touch(...apply(state, event, Date.now())));
  // The stream is open before the first reading, so nothing that happens in between is missed.
  events.on("stream-open", async () => {
    await refresh(app);
    if (loaded) app.history.loader.catchUp();
    loaded = true;
  });
  events.on("reset", async () => {
    await refresh(app);
    app.history.loader.catchUp();
  });
  events.on("history-deleted", () => refresh(app));
  addEventListener("focus", () => refreshPeople(app));
  events.start("/api/1/events");
  await new Promise((resolve) => { const end = state.on("me", () => { end(); resolve(undefined); }); });
}

/** @param {any[]} list @param {string} key @returns {Map<string, any>} */
const by = (list, key) => new Map(list.map((each) => [each[key], each]));

/** The reading under way, which answers whoever asks meanwhile. @type {Promise<void> | null} */
let reading = null;

/** Read everything again. @param {any} app @returns {Promise<void>} */
export function refresh(app) {
  reading ??= readAll(app).finally(() => { reading = null; });
  return reading;
}

/** @param {any} app */
async function readAll(app) {
  const { api, state } = app;
  try {
    const [me, who, groups, conversations, routes] = await Promise.all([
      api.call("status"), api.call("who", { all: true }).catch(() => api.call("who")), api.call("groups"), api.call("conversations"), api.call("routes"),
    ]);
    state.me = me;
    state.people = by(who.people, "user");
    state.groups = by(groups.groups, "group");
    state.conversations = by(conversations.conversations, "user");
    state.routes = by(routes.routes, "user");
    if (state.server.state !== "out" || me.connected) state.server = { state: me.connected ? "up" : "down", reason: "" };
    state.agent = "up";
    state.loaded = true;
    state.touch("me", "people", "groups", "conversations", "routes", "server", "agent");
  } catch (error) {
    if (/** @type {any} */ (error).code !== "agent-gone") console.error(error);
  }
}

/** Who is on my list may have been changed by other means. @param {any} app */
async function refreshPeople(app) {
  const { api, state } = app;
  if (!state.loaded || state.agent !== "up") return;
  try {
    state.people = by((await api.call("who", { all: true })).people, "user");
    state.touch("people");
  } catch { /* the banner tells */ }
}
