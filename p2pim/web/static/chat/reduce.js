// @ts-check
/** How events change what the page knows. No I/O, no elements: state, event and time in, names of changed parts out. */

/** For so long (ms) a typing notice is shown; the other side repeats it every three seconds. */
export const TYPING_SHOWN = 6000;

const PRESENT = new Set(["online", "away", "busy"]);

/** States of a message of mine, in the order in which they are reached. */
const ORDER = ["sending", "waiting", "sent", "stored", "delivered", "read"];

/**
 * Whether news of `next` moves a message that is at `before` forward; late news does not set it back.
 * @param {string} before @param {string} next
 */
export function advances(before, next) {
  if (next === "failed") return before !== "delivered" && before !== "read";
  return before === "failed" ? next === "delivered" || next === "read" : ORDER.indexOf(next) > ORDER.indexOf(before);
}

/** The conversation that an event or message belongs to: "#group", or the user. @param {any} event @returns {string} */
export const conversationOf = (event) => event.group ?? event.user;

/** A `message`, `sent` or `wrote` event in the form of the history. @param {any} event @returns {any} */
export function entryOf(event) {
  const mine = event.event !== "message";
  return {
    id: event.id,
    user: conversationOf(event),
    direction: mine ? "out" : "in",
    text: event.text,
    route: event.route ?? "",
    address: event.address ?? "",
    state: mine ? event.state ?? "waiting" : "received",
    sent_at: event.sent_at ?? event.at,
    received_at: mine ? null : event.at,
    read_at: null,
    ...(event.group ? { group: event.group, ...(mine ? {} : { sender: event.user }) } : {}),
  };
}

/** @param {any} state @param {any} entry @param {number} unread */
function said(state, entry, unread) {
  const before = state.conversations.get(entry.user);
  if (before?.last?.id === entry.id) return [];
  state.conversations.set(entry.user, { user: entry.user, unread: (before?.unread ?? 0) + unread, last: entry });
  return ["conversations"];
}

/** What was written here, by this page perhaps: then it is shown already. @param {any} state @param {any} entry */
function wrote(state, entry) {
  const { last } = state.conversations.get(entry.user) ?? {};
  return last && !last.id && last.text === entry.text ? [] : said(state, entry, 0);
}

/** @param {any} state @param {string} user @param {Record<string, any>} change */
function person(state, user, change) {
  const blank = { user, status: "unknown", relation: "", devices: [], route: null, address: "", rtt_ms: null };
  state.people.set(user, { ...(state.people.get(user) ?? blank), ...change });
  return ["people"];
}

/** @param {any} state @param {string} user */
function wroteAtLast(state, user) {
  return state.typing.delete(user) ? ["typing"] : [];
}

/** What each event does: (state, event, now) → names of changed parts. @type {Record<string, (state: any, event: any, now: number) => string[]>} */
const EFFECTS = {
  "signed-in"(state, event) {
    state.server = { state: "up", reason: "" };
    if (state.me) Object.assign(state.me, { connected: true, address: event.address });
    return ["server", "me"];
  },
  interrupted: (state, event) => lost(state, event.reason),
  reconnecting: (state, event) => lost(state, event.reason),
  "signed-out"(state, event) {
    state.server = { state: "out", reason: event.reason, message: event.message };
    return ["server"];
  },
  presence: (state, event) => person(state, event.user, { status: event.status }),
  "contact-request": (state, event) => person(state, event.user, { relation: "asks" }),
  "contact-accepted": (state, event) => person(state, event.user, { relation: "contact" }),
  typing(state, event, now) {
    const place = conversationOf(event);
    state.typing.set(place, new Map([...(state.typing.get(place) ?? []), [event.user, now + TYPING_SHOWN]]));
    return ["typing"];
  },
  message: (state, event) => [...said(state, entryOf(event), 1), ...wroteAtLast(state, conversationOf(event))],
  sent: (state, event) => said(state, entryOf(event), 0),
  wrote: (state, event) => wrote(state, entryOf(event)),
  undelivered(state, event) {
    const { last } = state.conversations.get(conversationOf(event)) ?? {};
    if (last?.id !== event.id || event.waits || !advances(last.state, "failed")) return [];
    last.state = "failed";
    return ["conversations"];
  },
  receipt(state, event) {
    const { last } = state.conversations.get(conversationOf(event)) ?? {};
    if (event.group || last?.id !== event.id) return [];
    if (advances(last.state, event.state)) last.state = event.state;
    return ["conversations"];
  },
  route(state, event) {
    state.routes.set(event.user, event);
    return ["routes"];
  },
  "group-changed"(state, event) {
    const { group, members, topic } = event;
    if (members.length > 0) state.groups.set(group, { group, topic, members });
    else state.groups.delete(group);
    return ["groups"];
  },
  "conversation-read": (state, event) => read(state, event.user),
  "identity-changed"(state, event) {
    const known = state.details.get(event.user);
    if (known) known.changed = !event.accepted;
    return ["details"];
  },
};

/** @param {any} state @param {string} reason */
function lost(state, reason) {
  state.server = { state: "down", reason };
  if (state.me) state.me.connected = false;
  return ["server", "me"];
}

/** So many (all) of the conversation's unread messages have been seen. @param {any} state @param {string} user @param {number} [count] */
export function read(state, user, count = Infinity) {
  const conversation = state.conversations.get(user);
  if (!conversation?.unread) return [];
  conversation.unread = Math.max(0, conversation.unread - count);
  return ["conversations"];
}

/** @param {any} state @param {any} event @param {number} now in ms @returns {string[]} */
export function apply(state, event, now) {
  return EFFECTS[event.event]?.(state, event, now) ?? [];
}

/** Forget typing notices that are older than they are shown for. @param {any} state @param {number} now */
export function expireTyping(state, now) {
  let changed = false;
  for (const [place, users] of state.typing) {
    for (const [user, until] of users) if (until <= now) changed = users.delete(user);
    if (users.size === 0) state.typing.delete(place);
  }
  return changed ? ["typing"] : [];
}

/**
 * The rows of the list of conversations: requests to me, then what was talked about last first, then the other
 * contacts and groups by name.
 * @param {any} state @returns {{requests: string[], rows: string[]}}
 */
export function listed(state) {
  const all = new Set(state.conversations.keys());
  const requests = [];
  for (const { user, relation, status } of state.people.values()) {
    if (relation === "asks") requests.push(user);
    // At a server where all see all, everybody who is there is listed.
    else if (relation === "contact" || relation === "requested" || ((relation === "" || relation === "guest") && user !== state.me?.user && PRESENT.has(status))) all.add(user);
  }
  for (const group of state.groups.keys()) all.add(group);
  if (state.current) all.add(state.current);
  const asking = new Set(requests);
  const at = (/** @type {string} */ user) => state.conversations.get(user)?.last?.received_at ?? state.conversations.get(user)?.last?.sent_at ?? "";
  const rows = [...all].filter((user) => user && !asking.has(user));
  return { requests: requests.sort(), rows: rows.sort((a, b) => (at(a) === at(b) ? (a < b ? -1 : 1) : at(a) < at(b) ? 1 : -1)) };
}

/** Messages that nobody has looked at, in all conversations. @param {any} state @returns {number} */
export function unreadInAll(state) {
  let sum = 0;
  for (const { unread } of state.conversations.values()) sum += unread;
  return sum;
}
