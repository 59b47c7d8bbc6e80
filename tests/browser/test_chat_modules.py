"""The chat page's modules that decide: what events change, what a window on the history holds, links, times."""

from __future__ import annotations

from typing import Any

from tests.browser.modules import ModuleCase

MESSAGES = """
    const message = (number, more = {}) => ({
      id: `m${number}`, number, user: "bob", direction: number % 2 ? "in" : "out", text: `text ${number}`, route: "tcp",
      address: "", state: number % 2 ? "read" : "delivered", sent_at: new Date(1.7e12 + number * 60000).toISOString(),
      received_at: null, read_at: null, ...more });
    const range = (from, until) => Array.from({length: until - from}, (_, at) => message(from + at));
"""
STATE = """
    const state = { me: {user: "me"}, people: new Map(), groups: new Map(), conversations: new Map(), routes: new Map(),
      details: new Map(), typing: new Map(), current: null, server: {state: "up"} };
"""


class ChatModuleCase(ModuleCase):
    """Calls a module with what stands in ``head``."""

    head = ""

    def ask(self, module: str, body: str, argument: Any = None) -> Any:
        """What ``body``, which has the module as ``m`` and the argument as ``arg``, returns."""
        return self.evaluate(self.module_page(), module, f"(m, arg) => {{ {self.head} {body} }}", argument)


class LinkTests(ChatModuleCase):
    def links(self, text: str) -> list[str]:
        found: list[str] = self.ask(
            "chat/linkify.js", "return m.linkify(arg).filter((p) => p.href).map((p) => p.text)", text
        )
        return found

    def test_only_https_becomes_a_link(self) -> None:
        """What runs code, or is open to who listens, is text."""
        text = "http://a.example javascript:alert(1) data:text/html,x https://b.example/c"
        self.assertEqual(self.links(text), ["https://b.example/c"])

    def test_a_sentence_around_a_link_is_not_in_it(self) -> None:
        """Full stops and brackets of the text stay outside, brackets of the address inside."""
        found = self.links("(see https://a.example/x_(y)). 看 https://b.example/页面。 <https://c.example>")
        self.assertEqual(found, ["https://a.example/x_(y)", "https://b.example/页面", "https://c.example"])

    def test_an_address_that_deceives_is_no_link(self) -> None:
        """Names before the host, and what turns the order of letters round."""
        found = self.links(
            "https://bank.example@evil.example/ https://a.example/\u202egnp.exe https://a.example/\u200bx"
        )
        self.assertEqual(found, [])

    def test_nothing_of_the_text_is_lost(self) -> None:
        """The parts together are the text."""
        text = "a https://a.example, <b> https://b.example/?q=1&r=2! \u202e end"
        whole = self.ask("chat/linkify.js", "return m.linkify(arg).map((p) => p.text ?? p).join('')", text)
        self.assertEqual(whole, text)


class WindowTests(ChatModuleCase):
    head = MESSAGES

    def test_what_is_added_twice_is_held_once(self) -> None:
        """A page and an event may tell of the same message."""
        held = self.ask(
            "chat/window.js",
            "const w = new m.MessageWindow(range(5, 8), {atEnd: true}); w.add(message(7)); w.add(message(8));"
            "w.prepend(range(2, 6), false); return w.entries.map((e) => e.number)",
        )
        self.assertEqual(held, [2, 3, 4, 5, 6, 7, 8])

    def test_it_holds_so_many_and_knows_its_ends(self) -> None:
        """Going back lets go of the newest; then new messages are not put behind the gap."""
        answer = self.ask(
            "chat/window.js",
            "const w = new m.MessageWindow(range(1000, 1250)); w.prepend(range(900, 1000), false); w.trimEnd();"
            "return [w.entries.length, w.atEnd, w.last, w.add(message(1250)), w.byId.size]",
        )
        self.assertEqual(answer, [300, False, "m1199", False, 300])

    def test_a_message_written_here_is_not_doubled_by_its_event(self) -> None:
        """Its id comes with the answer; a copy that came first goes."""
        answer = self.ask(
            "chat/window.js",
            "const w = new m.MessageWindow(range(2, 3)); const mine = message(0, {id: '', key: 'local-1', "
            "state: 'sending'});"
            "w.add(mine); w.add(message(9, {id: 'm9', direction: 'out', state: 'delivered'})); w.named(mine, 'm9');"
            "return [w.entries.map((e) => e.id), mine.state]",
        )
        self.assertEqual(answer, [["m2", "m9"], "delivered"])

    def test_news_that_comes_late_sets_nothing_back(self) -> None:
        """A receipt for what has been read already changes nothing."""
        answer = self.ask(
            "chat/window.js",
            "const w = new m.MessageWindow([message(2, {state: 'read'}), message(4, {state: 'waiting'}), "
            "message(3)]);"
            "return [w.reached('m2', 'delivered'), w.reached('m4', 'stored')?.state, w.reached('m3', 'read'), "
            "w.reached('x', 'read')]",
        )
        self.assertEqual(answer, [None, "stored", None, None])

    def test_days_the_unread_and_files_stand_between_messages(self) -> None:
        """Each day has a heading; what is unread a line; other things are placed by their time."""
        answer = self.ask(
            "chat/window.js",
            "const day = 24 * 60; const w = new m.MessageWindow([message(0), message(1), message(day), "
            "message(day + 1)], {atStart: true});"
            "const at = (n) => 1.7e12 + n * 60000; const extras = [{id: 'a', at: at(-5)}, {id: 'b', "
            "at: at(0.5)}, {id: 'c', at: at(day + 9)}];"
            "return m.itemsOf(w, extras, `m${day}`).map((i) => i.kind === 'message' ? i.entry.number : i.kind)",
        )
        self.assertEqual(answer, ["day", "extra", 0, "extra", 1, "day", "unread", 1440, 1441, "extra"])

    def test_of_a_part_of_the_history_only_what_is_among_it_is_shown(self) -> None:
        """A file from before the oldest held message waits until that history is there."""
        answer = self.ask(
            "chat/window.js",
            "const w = new m.MessageWindow(range(10, 12), {atStart: false, atEnd: false});"
            "return m.itemsOf(w, [{id: 'a', at: 1.7e12}, {id: 'b', at: 1.8e12}], '').map((i) => i.kind)",
        )
        self.assertEqual(answer, ["day", "message", "message"])

    def test_one_begins_where_the_unread_begin(self) -> None:
        """With some of what was read before; or at the end when all was read."""
        answer = self.ask(
            "chat/window.js",
            "const page = range(0, 400).map((e, at) => at > 100 && e.direction === 'in' ? {...e, "
            "state: 'received'} : e);"
            "const {from, until, unreadFrom} = m.beginning(page, 150); const all = m.beginning(range(0, 400), 0);"
            "return [from, until, unreadFrom, all.from, all.until, all.unreadFrom]",
        )
        self.assertEqual(answer, [81, 321, "m101", 340, 400, ""])

    def test_long_texts_are_drawn_a_few_at_a_time(self) -> None:
        """No part is too much for one frame, and none is lost."""
        answer = self.ask(
            "chat/window.js",
            "const page = range(0, 60).map((e) => e.number < 10 ? {...e, text: 'x'.repeat(12000)} : e); "
            "const parts = m.slices(page);"
            "return [parts.flat().length, Math.max(...parts.map((p) => p.length)), parts[0].length]",
        )
        self.assertEqual(answer, [60, 10, 1])


class EventTests(ChatModuleCase):
    head = STATE

    def test_a_message_is_unread_and_ends_the_typing_notice(self) -> None:
        """The list shows it first, and counts it."""
        answer = self.ask(
            "chat/reduce.js",
            "m.apply(state, {event: 'typing', user: 'bob'}, 1000); const typing = state.typing.has('bob');"
            "const parts = m.apply(state, {event: 'message', id: 'x', user: 'bob', text: 'hi', "
            "at: '2026-01-01T00:00:00Z'}, 2000);"
            "m.apply(state, {event: 'message', id: 'y', user: 'bob', group: '#team', text: 'all', "
            "at: '2026-01-01T00:00:01Z'}, 2000);"
            "return [typing, state.typing.has('bob'), parts, m.unreadInAll(state), m.listed(state).rows]",
        )
        self.assertEqual(answer, [True, False, ["conversations", "typing"], 2, ["#team", "bob"]])

    def test_reading_counts_down_only_what_was_there(self) -> None:
        """What came while the mark was on its way stays unread."""
        answer = self.ask(
            "chat/reduce.js",
            "state.conversations.set('bob', {user: 'bob', unread: 3, last: null}); m.read(state, 'bob', 2);"
            "const left = state.conversations.get('bob').unread; m.apply(state, {event: 'conversation-read', "
            "user: 'bob'}, 0);"
            "return [left, m.unreadInAll(state), m.read(state, 'bob')]",
        )
        self.assertEqual(answer, [1, 0, []])

    def test_a_typing_notice_ends_by_itself(self) -> None:
        """After six seconds without another."""
        answer = self.ask(
            "chat/reduce.js",
            "m.apply(state, {event: 'typing', user: 'bob', group: '#team'}, 0);"
            "return [m.expireTyping(state, 5999), m.expireTyping(state, 6001), state.typing.size]",
        )
        self.assertEqual(answer, [[], ["typing"], 0])

    def test_who_asks_stands_above_the_list(self) -> None:
        """And nobody is listed twice, nor those who are blocked."""
        answer = self.ask(
            "chat/reduce.js",
            "for (const [user, relation, status] of [['bob', 'contact', 'offline'], ['eve', 'asks', ''], "
            "['mallory', 'blocked', ''], ['sam', '', 'online'], ['tom', '', 'unknown']])"
            "  state.people.set(user, {user, relation, status});"
            "state.groups.set('#team', {}); return m.listed(state)",
        )
        self.assertEqual(answer, {"requests": ["eve"], "rows": ["#team", "bob", "sam"]})

    def test_the_servers_absence_is_known_and_its_return(self) -> None:
        """Until signed in again."""
        answer = self.ask(
            "chat/reduce.js",
            "m.apply(state, {event: 'interrupted', reason: 'lost'}, 0); const down = state.server.state;"
            "m.apply(state, {event: 'signed-in', address: 'a'}, 0); const up = state.server.state;"
            "m.apply(state, {event: 'signed-out', reason: 'kicked'}, 0); return [down, up, state.server]",
        )
        self.assertEqual(answer[:2], ["down", "up"])
        self.assertEqual(answer[2]["reason"], "kicked")


class WordTests(ChatModuleCase):
    def route(self, route: dict[str, Any] | None, **about: Any) -> str:
        text: str = self.ask(
            "chat/format.js",
            "return import(location.origin + '/static/-/common/i18n.js').then(async (i) => {"
            "  const t = i.translator(await (await fetch('/strings/en.json')).json(), 'en');"
            "  return m.routeOfPerson(t, m.formats(t), arg[0], arg[1]); })",
            [route, about],
        )
        return text

    def test_the_route_of_a_direct_channel(self) -> None:
        """As the title shows it: which kind, where to, and how far."""
        route = {"kind": "tcp", "address": "192.168.1.7:50122", "rtt_ms": 0.43, "reasons": []}
        self.assertEqual(self.route(route), "direct TCP 192.168.1.7:50122, 0.4 ms")

    def test_why_it_is_relayed(self) -> None:
        """The reason that tells most, not that there was nothing to try."""
        reasons = [
            {"rung": "tcp-lan", "reason": "the other side has no local address that can be dialled from here"},
            {"rung": "udp", "reason": "both NATs map every destination to a new port"},
        ]
        relayed = self.route({"kind": "relay", "reasons": reasons})
        self.assertEqual(relayed, "relayed: both NATs map every destination to a new port")

    def test_what_the_other_side_gave_as_its_reason_is_translated_too(self) -> None:
        """Also inside a sentence of ours; what nobody knows stays as it came."""
        body = (
            "return import(location.origin + '/static/-/common/i18n.js').then(async (i) => {"
            "  const t = i.translator(await (await fetch('/strings/zh-Hans.json')).json(), 'zh-Hans');"
            "  return arg.flatMap((reason) => [m.reasonText(t, reason), m.reasonLang(t, reason)]); })"
        )
        reasons = [
            "the other side declined: direct channels of this kind are switched off here",
            "the other side declined: you are not a contact of theirs: ask them to run `p2pim add alice`",
            "the other side declined: the moon is full",
        ]
        self.assertEqual(
            self.ask("chat/reasons.js", body, reasons),
            [
                "对方拒绝：对方已关闭此类直连",
                "zh-Hans",
                "对方拒绝：您还不是对方的联系人：请对方接受您的请求（`p2pim add alice`）",
                "zh-Hans",
                "the other side declined: the moon is full",
                "en",
            ],
        )

    def test_without_a_server_there_is_no_way(self) -> None:
        """Unless there is a direct one."""
        self.assertIn("server cannot be reached", self.route({"kind": "none"}, connected=False))

    def test_what_turns_letters_round_is_isolated_in_sentences(self) -> None:
        """And cannot end its own isolation."""
        answer = self.ask("common/i18n.js", "return [m.isolate('bob'), m.isolate('a\\u2069\\u202eb')]")
        self.assertEqual(answer, ["bob", "\u2068a\u202eb\u2069"])

    def test_numbers_choose_their_words(self) -> None:
        """One and many, and languages that do not tell them apart."""
        body = (
            "const words = {'a.one': '{n} cat', 'a.other': '{n} cats'};"
            "return [m.translator(words, 'en').n('a', 1), m.translator(words, 'en').n('a', 2), "
            "m.translator(words, 'zh-Hans').n('a', 1)]"
        )
        self.assertEqual(self.ask("common/i18n.js", body), ["1 cat", "2 cats", "1 cats"])

    def test_hits_are_marked_where_they_are(self) -> None:
        """Places count characters, also those that are two code units."""
        answer = self.ask(
            "chat/message.js",
            "const box = document.createElement('p'); box.append(...m.marked(arg, [[2, 4]])); "
            "return box.querySelector('mark').textContent",
            "😀😀你好吗",
        )
        self.assertEqual(answer, "你好")


class ReconnectingTests(ChatModuleCase):
    def test_waits_grow_to_a_bound(self) -> None:
        """Half a second at first, never more than a quarter above fifteen seconds."""
        answer = self.ask("common/sse.js", "return [0, 1, 3, 30].map((n) => m.waitBefore(n, 0.5))")
        self.assertEqual(answer, [500, 1000, 4000, 15000])
