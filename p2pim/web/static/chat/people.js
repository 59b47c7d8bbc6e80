// @ts-check
/** How people and groups are shown everywhere: a round picture with letters, a name, presence. */

import { drawing, h, name } from "../common/dom.js";
import { ICONS } from "./icons.js";

export const STATUSES = ["online", "away", "busy", "invisible"];

/** A name's place on the colour circle. @param {string} text */
export function hue(text) {
  let sum = 0;
  for (const character of text) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 3600;
  return (sum % 24) * 15;
}

/** The first letter, whatever script it is in. @param {string} user */
const initial = (user) => [...user.replace(/^#/u, "")][0]?.toLocaleUpperCase() ?? "?";

/** @param {string} user a user, or "#group" @param {string} [status] shown as a dot */
export function avatar(user, status = "") {
  const group = user.startsWith("#");
  return h(
    "span",
    { class: `avatar${group ? " group" : ""}`, "aria-hidden": "true", style: { "--hue": hue(user) } },
    group ? drawing(ICONS.people) : initial(user),
    status && h("span", { class: `dot ${status}` }),
  );
}

/** Presence in words. @param {any} t @param {string} status */
export const statusText = (t, status) => (t.has(`chat.status.${status}`) ? t(`chat.status.${status}`) : "");

/** Somebody's name as people read it. @param {string} user */
export const shownName = (user) => name(user, { class: "name" });

/** How many of a group are there now, me among them. @param {any} state @param {any} group */
export function presentIn(state, group) {
  return group.members.filter((/** @type {any} */ { user }) => user === state.me?.user || isThere(state.people.get(user)?.status)).length;
}

/** Whether this is a guest of the server's classic gateway: without a password, and nothing is encrypted. @param {string} user */
export const isGuest = (user) => user.endsWith("@classic");

/** What a guest is marked with, beside the name. @param {any} t @param {string} user */
export const guestTag = (t, user) => isGuest(user) && h("span", { class: "tag guest", dataset: { testid: "guest" } }, t("chat.guest"));

/** @param {string | undefined} status */
export const isThere = (status) => status === "online" || status === "away" || status === "busy";
