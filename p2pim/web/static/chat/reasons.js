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
};

/** @param {any} t @param {string} reason */
export const reasonText = (t, reason) => (Object.hasOwn(KNOWN, reason) ? t(KNOWN[reason]) : reason);

/** The language that it is in then, for who reads it aloud. @param {any} t @param {string} reason */
export const reasonLang = (t, reason) => (Object.hasOwn(KNOWN, reason) ? t.lang : "en");
