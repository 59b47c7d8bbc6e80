// @ts-check
/** A group: its topic, its members and what they may do, and what one may do with it. */

import { drawing, h } from "../common/dom.js";
import { chooser } from "./chooser.js";
import { ICONS } from "./icons.js";
import { openMenu } from "./menu.js";
import { avatar, shownName, statusText } from "./people.js";

const ROLES = ["owner", "admin", "member"];

/** @param {any} app */
export function mount(app) {
  const { state, commands } = app;

  /** Change a group, and show how it is then. @param {string} method @param {Record<string, any>} params */
  commands.changeGroup = async (method, params) => {
    const group = await commands.call(method, params);
    if (!group) return null;
    if (group.members) state.groups.set(group.group, group);
    else state.groups.delete(params.group);
    state.touch("groups");
    return group;
  };
}

/** @param {any} app @param {string} name @returns {any[]} */
export function groupDetails(app, name) {
  const { state, t, commands } = app;
  const group = state.groups.get(name);
  const head = h("div", { class: "details-head" }, avatar(name), h("p", { class: "details-name" }, shownName(name)));
  if (!group) return [head, h("p", null, t("chat.group_left_bar")), forget(app, name)];
  const mine = group.members.find((/** @type {any} */ { user }) => user === state.me?.user)?.role ?? "member";
  const leads = mine !== "member";
  return [
    head,
    topic(app, group, leads),
    h("div", { class: "members-head" }, h("h3", null, t.n("chat.members", group.members.length)),
      leads && h("button", { type: "button", dataset: { testid: "group-add" }, on: { click: () => add(app, group) } }, drawing(ICONS.plus), t("chat.group_add"))),
    h("ul", { class: "members" }, group.members.map((/** @type {any} */ member) => memberRow(app, group, member, mine))),
    h("div", { class: "details-buttons" },
      forget(app, name),
      h("button", { type: "button", class: "wide-button danger", dataset: { testid: "group-leave" }, on: { click: () => end(app, name, "leave") } }, drawing(ICONS.back), t("chat.group_leave")),
      mine === "owner" && h("button", { type: "button", class: "wide-button danger", dataset: { testid: "group-end" }, on: { click: () => end(app, name, "end") } }, drawing(ICONS.cross), t("chat.group_end"))),
  ];

  function forget(/** @type {any} */ _, /** @type {string} */ which) {
    return h("button", { type: "button", class: "wide-button danger", dataset: { testid: "details-forget" }, on: { click: () => commands.forget(which) } }, drawing(ICONS.trash), t("chat.forget"));
  }
}

/** @param {any} app @param {any} group @param {boolean} leads */
function topic(app, group, leads) {
  const { t, commands } = app;
  if (!leads) return group.topic && h("p", { class: "group-topic" }, h("bdi", null, group.topic));
  const field = h("input", { id: "topic", value: group.topic, maxlength: 128, autocomplete: "off", dataset: { testid: "topic" } });
  const save = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (await commands.changeGroup("group-topic", { group: group.group, topic: field.value.trim() })) field.blur();
  };
  return h("form", { class: "field topic", on: { submit: save } }, h("label", { for: "topic" }, t("chat.group_topic")), h("div", { class: "together" }, field, h("button", { type: "submit", dataset: { testid: "topic-save" } }, t("common.save"))));
}

/** @param {any} app @param {any} group @param {any} member @param {string} mine my role */
function memberRow(app, group, member, mine) {
  const { state, t, commands } = app;
  const me = member.user === state.me?.user;
  const status = (me ? state.me.status : state.people.get(member.user)?.status) ?? "";
  const may = !me && (mine === "owner" || (mine === "admin" && member.role === "member"));
  const change = (/** @type {string} */ role) => commands.changeGroup("group-role", { group: group.group, user: member.user, role });
  const menu = (/** @type {MouseEvent} */ event) => openMenu(/** @type {HTMLElement} */ (event.currentTarget), [
    !me && { label: t("chat.open"), run: () => commands.open(member.user, { write: true }) },
    ...(mine === "owner" && !me ? ROLES.map((role) => ({ label: t(`chat.role.make_${role}`), checked: member.role === role, testid: `role-${role}`, run: () => change(role) })) : []),
    may && { label: t("chat.group_remove"), danger: true, testid: "member-remove", run: () => commands.changeGroup("group-remove", { group: group.group, users: [member.user] }) },
  ]);
  return h(
    "li", { dataset: { testid: "member", user: member.user, role: member.role } },
    avatar(member.user, status),
    h("span", { class: "member-name" }, shownName(member.user), me && ` (${t("chat.you")})`, h("span", { class: "unseen" }, `, ${statusText(t, status)}`)),
    member.role !== "member" && h("span", { class: "role" }, t(`chat.role.${member.role}`)),
    !me && h("button", { type: "button", class: "icon-button", "aria-haspopup": "menu", "aria-label": t("chat.member_menu", { user: member.user }), dataset: { testid: "member-menu" }, on: { click: menu } }, drawing(ICONS.more)),
  );
}

/** @param {any} app @param {any} group */
function add(app, group) {
  const { t, commands } = app;
  const people = chooser(app, { without: group.members.map((/** @type {any} */ { user }) => user) });
  app.dialog.open({
    title: t("chat.group_add"),
    testid: "group-add-dialog",
    content: people.element,
    actions: [{ label: t("common.cancel") }, {
      label: t("chat.group_add"), kind: "primary", testid: "group-add-yes",
      run: async () => people.chosen().length > 0 && (await commands.changeGroup("group-add", { group: group.group, users: people.chosen() })) !== null,
    }],
  });
}

/** @param {any} app @param {string} name @param {"leave" | "end"} way */
async function end(app, name, way) {
  const { t, commands } = app;
  const label = t(`chat.group_${way}`);
  const sure = await app.dialog.confirm({ title: label, text: t.nodes(`chat.group_${way}_sure`, { group: shownName(name) }), yes: label, danger: true });
  if (sure) await commands.changeGroup(`group-${way}`, { group: name });
}
