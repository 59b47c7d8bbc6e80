// @ts-check
/** Why there is no direct way, in the person's language: the agent tells it in English. */

/** The reasons that come most, as the agent words them. @type {Record<string, string>} */
const KNOWN = {
  "this network lets no UDP through": "chat.reason.blocked_here",
  "the other side's network lets no UDP through": "chat.reason.blocked_there",
  "the P2P server has not answered yet, so nobody knows where this side can be reached": "chat.reason.unknown_here",
  "the other side has had no answer from its P2P server yet": "chat.reason.unknown_there",
  "both NATs map every destination to a new port": "chat.reason.both_hard",
  "the NAT here maps every destination to a new port": "chat.reason.hard_here",
  "the other side's NAT maps every destination to a new port": "chat.reason.hard_there",
  "the NAT here maps every destination to a new port, and the other one lets in only answers": "chat.reason.hard_here_strict",
  "the other side's NAT maps every destination to a new port, and the other one lets in only answers": "chat.reason.hard_there_strict",
  "the other side has no address for UDP": "chat.reason.no_udp",
  "the other side has no local address that can be dialled from here": "chat.reason.no_lan",
  "the other side has no public address": "chat.reason.no_public",
  "there was nothing to try": "chat.reason.nothing",
  "nobody reached an address of mine in time": "chat.reason.no_calls",
  "I listen nowhere": "chat.reason.deaf",
  "This user is not online.": "chat.reason.away",
  "direct channels of this kind are switched off here": "chat.reason.switched_off",
};

/** Beginnings under which the agent passes on what the other side gave as its reason. @type {[string, string][]} */
const PASSED_ON = [
  ["the other side declined: ", "chat.reason.declined"],
  ["the other side says: ", "chat.reason.said"],
];
const NO_CONTACT = /^you are not a contact of theirs: ask them to run `(p2pim add [^`]+)`$/;

/**
 * What a reason is in the person's language, or null where the agent's own words have to do.
 * @param {any} t @param {string} reason @returns {string|null}
 */
function translated(t, reason) {
  if (Object.hasOwn(KNOWN, reason)) return t(KNOWN[reason]);
  const stranger = NO_CONTACT.exec(reason);
  if (stranger) return t("chat.reason.no_contact", { command: stranger[1] });
  for (const [beginning, key] of PASSED_ON) {
    if (reason.startsWith(beginning)) {
      const inner = translated(t, reason.slice(beginning.length));
      return inner === null ? null : t(key, { reason: inner });
    }
  }
  return null;
}

/** @param {any} t @param {string} reason */
export const reasonText = (t, reason) => translated(t, reason) ?? reason;

/** The language that it is in then, for who reads it aloud. @param {any} t @param {string} reason */
export const reasonLang = (t, reason) => (translated(t, reason) === null ? "en" : t.lang);
