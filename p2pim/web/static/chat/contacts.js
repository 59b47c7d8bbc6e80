// @ts-check
/** What one does with people: ask, agree, decline, block, and forget what was said. */

import { refresh } from "./load.js";
import { shownName } from "./people.js";

/** @param {any} app */
export function mount(app) {
  const { api, state, t, toast } = app;

  /** Call, and tell what went wrong. @param {string} method @param {Record<string, any>} params */
  async function call(method, params) {
    try {
      return await api.call(method, params);
    } catch (error) {
      toast(/** @type {Error} */ (error).message, "bad");
      return null;
    }
  }

  /** @param {string} user @param {Record<string, any>} change */
  function changed(user, change) {
    const before = state.people.get(user) ?? { user, status: "unknown", devices: [], route: null, address: "", rtt_ms: null };
    state.people.set(user, { ...before, ...change });
    if (state.details.has(user)) Object.assign(state.details.get(user), change);
    state.touch("people", "details");
  }

  Object.assign(app.commands, {
    call,
    /** Ask to be contacts, or agree. @param {string} user */
    async add(user) {
      const person = await call("add", { user });
      if (!person) return;
      changed(user, person);
      toast(t(person.relation === "contact" ? "chat.is_contact" : "chat.asked", { user }), "good");
    },
    /** @param {string} user */
    async decline(user) {
      if (await call("remove", { user })) changed(user, { relation: "" });
    },
    /** @param {string} user */
    async remove(user) {
      const sure = await app.dialog.confirm({ title: t("chat.remove"), text: t.nodes("chat.remove_sure", { user: shownName(user) }), yes: t("chat.remove"), danger: true });
      if (sure && (await call("remove", { user }))) changed(user, { relation: "", status: "unknown" });
    },
    /** @param {string} user */
    async block(user) {
      const sure = await app.dialog.confirm({ title: t("chat.block"), text: t.nodes("chat.block_sure", { user: shownName(user) }), yes: t("chat.block"), danger: true });
      if (sure && (await call("block", { user }))) changed(user, { relation: "blocked", status: "unknown" });
    },
    /** @param {string} user */
    async unblock(user) {
      if (await call("unblock", { user })) changed(user, { relation: "" });
    },
    /** Forget what was said with somebody, here. @param {string} user */
    async forget(user) {
      const sure = await app.dialog.confirm({ title: t("chat.forget"), text: t.nodes("chat.forget_sure", { user: shownName(user) }), yes: t("chat.forget"), danger: true });
      const done = sure && (await call("delete", { user }));
      if (!done) return;
      if (done.kept > 0) toast(t.n("chat.forget_kept", done.kept));
      app.history.loader.open(state.current);
      refresh(app);
    },
    /** @param {any} entry */
    async deleteMessage(entry) {
      const sure = await app.dialog.confirm({ title: t("chat.delete_message"), text: t("chat.delete_message_sure"), yes: t("chat.delete_message"), danger: true });
      const done = sure && (await call("delete", { user: entry.user, ids: [entry.id] }));
      if (!done) return;
      if (done.deleted === 0) { toast(t.n("chat.forget_kept", 1)); return; }
      app.history.window.remove(entry);
      app.history.draw();
      refresh(app);
    },
  });
}
