// @ts-check
/** A new conversation, by name; or a new group. */

import { h } from "../common/dom.js";
import { chooser } from "./chooser.js";

/** @param {any} app */
export function mount(app) {
  app.commands.newConversation = () => newConversation(app);
  app.commands.newGroup = (/** @type {string[]} */ users = []) => newGroup(app, users);
}

/** @param {any} app */
function newConversation(app) {
  const { t, state, commands } = app;
  const field = h("input", { id: "new-name", name: "user", autocomplete: "off", spellcheck: "false", autocapitalize: "none", autofocus: true, maxlength: 128, list: "new-names", dataset: { testid: "new-name" } });
  const error = h("p", { class: "error", role: "alert", id: "new-error" });
  field.setAttribute("aria-describedby", "new-error");
  const known = [...state.people.values()].filter(({ relation }) => relation === "contact").map(({ user }) => h("option", { value: user }));
  const start = async () => {
    const name = field.value.trim();
    if (!name) { field.focus(); return false; }
    try {
      const { user } = await app.api.call("conversation", { user: name, open: false });
      if (!name.startsWith("#")) await exists(app, user);
      commands.open(user, { write: true });
      return true;
    } catch (problem) {
      error.textContent = /** @type {Error} */ (problem).message;
      field.setAttribute("aria-invalid", "true");
      field.focus();
      return false;
    }
  };
  const form = h("form", { id: "new-form" }, h("div", { class: "field" }, h("label", { for: "new-name" }, t("chat.new_name")), field, h("datalist", { id: "new-names" }, known), error, h("p", { class: "hint" }, t("chat.new_hint"))));
  const dialog = app.dialog.open({
    title: t("chat.new"),
    testid: "new-dialog",
    content: form,
    actions: [
      { label: t("chat.new_group"), testid: "new-group", run: () => { queueMicrotask(() => newGroup(app, field.value.trim() ? [field.value.trim()] : [])); } },
      { label: t("chat.new_start"), kind: "primary", testid: "new-start", run: start },
    ],
  });
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await start()) dialog.close();
  });
}

/** Somebody unknown is said to be so; whether a known one is there is of no interest now. @param {any} app @param {string} user */
async function exists(app, user) {
  try {
    await app.api.call("online", { user });
  } catch (problem) {
    if (/** @type {any} */ (problem).code === "no-such-user") throw problem;
  }
}

/** @param {any} app @param {string[]} users */
function newGroup(app, users) {
  const { t, commands } = app;
  const field = h("input", { id: "group-name", autocomplete: "off", spellcheck: "false", autofocus: true, maxlength: 33, dataset: { testid: "group-name" } });
  const topic = h("input", { id: "group-topic", autocomplete: "off", maxlength: 128, dataset: { testid: "group-topic" } });
  const members = chooser(app, { chosen: users });
  const error = h("p", { class: "error", role: "alert" });
  const create = async () => {
    const name = field.value.trim().replace(/^#/u, "");
    if (!name) { field.focus(); return false; }
    try {
      const made = await app.api.call("group-create", { group: `#${name}`, users: members.chosen() });
      const group = topic.value.trim() ? await app.api.call("group-topic", { group: made.group, topic: topic.value.trim() }) : made;
      app.state.groups.set(group.group, group);
      app.state.touch("groups");
      commands.open(group.group, { write: true });
      return true;
    } catch (problem) {
      error.textContent = /** @type {Error} */ (problem).message;
      return false;
    }
  };
  app.dialog.open({
    title: t("chat.new_group"),
    testid: "group-dialog",
    content: [
      h("div", { class: "field" }, h("label", { for: "group-name" }, t("chat.group_name")), field),
      h("div", { class: "field" }, h("label", { for: "group-topic" }, t("chat.group_topic")), topic),
      members.element,
      error,
    ],
    actions: [{ label: t("common.cancel") }, { label: t("chat.group_create"), kind: "primary", testid: "group-create", run: create }],
  });
}
