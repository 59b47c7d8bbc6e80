// @ts-check
/** The drawing of the network: me in the middle, the server above, everybody else around; lines as bytes go. */

const SVG = "http://www.w3.org/2000/svg";

const WIDTH = 840;
export const HEIGHT = 560;
const ME = { x: WIDTH / 2, y: 305 };
const SERVER = { x: WIDTH / 2, y: 48 };

/** People that the drawing has room for; the table has all of them. */
export const MOST_DRAWN = 22;
const ON_ONE_RING = 12;
/** The part of the circle, in radians, that is left to the server's line. */
const GAP = 0.9;

/** Where somebody alone stands on it: beside me. */
const ALONE = (Math.PI / 2 - GAP) / (2 * Math.PI - 2 * GAP);

const NAME_LENGTH = 16;

/** Where on a line its words stand: where lines of other kinds seldom cross it. @type {Record<string, number>} */
const LABEL_AT = { tcp: 0.45, udp: 0.45, relay: 0.78 };

/**
 * Where the people stand, in their order around me: always the same place for the same company.
 * @param {number} count @returns {{x: number, y: number}[]}
 */
export function places(count) {
  const outer = count <= ON_ONE_RING ? count : Math.ceil(0.64 * count);
  return [...ring(outer, 1), ...ring(count - outer, 0.56)];
}

/** @param {number} count @param {number} size of the ring, 0 to 1 */
function ring(count, size) {
  return Array.from({ length: count }, (_, index) => {
    const part = count === 1 ? ALONE : index / (count - 1);
    const angle = -Math.PI / 2 + GAP + part * (2 * Math.PI - 2 * GAP);
    return { x: Math.round(ME.x + 335 * size * Math.cos(angle)), y: Math.round(ME.y + 195 * size * Math.sin(angle)) };
  });
}

/** @param {string} tag @param {Record<string, any>} attributes @param {...(Element | string)} children */
function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** One line of text that fits; the whole of it is its title. @param {string} text */
function short(text) {
  const characters = [...text];
  return characters.length > NAME_LENGTH ? `${characters.slice(0, NAME_LENGTH - 1).join("")}…` : text;
}

/** A person, me or the server; `update` changes what has changed. */
class Node {
  /** @param {string} kind @param {string} name */
  constructor(kind, name) {
    this.detail = s("text", { class: "net-detail", y: 56, "text-anchor": "middle", direction: "ltr" });
    this.dot = s("circle", { class: "net-presence", cx: 17, cy: 17, r: 7 });
    const letter = s("text", { class: "net-letter", y: 8, "text-anchor": "middle" }, kind === "server" ? "" : [...name][0]?.toUpperCase() ?? "");
    const sign = kind === "server" ? s("path", { class: "net-sign", d: "M-9 -9h18v7h-18zM-9 2h18v7h-18zM-5 -5.5h.01M-5 5.5h.01" }) : letter;
    const label = s("text", { class: "net-name", y: 40, "text-anchor": "middle" }, `\u2068${short(name)}\u2069`);
    this.group = s("g", { class: `net-node net-${kind}` }, s("title", {}, name), s("circle", { class: "net-disc", r: 22 }), sign, label, this.detail);
    if (kind === "peer") this.group.append(this.dot);
  }

  /** @param {{x: number, y: number}} at @param {{status?: string, kind?: string, detail?: string}} about */
  update(at, { status = "", kind = "", detail = "" }) {
    /** @type {SVGElement} */ (this.group).style.transform = `translate(${at.x}px, ${at.y}px)`;
    this.group.setAttribute("data-status", status);
    this.group.setAttribute("data-kind", kind);
    if (this.detail.textContent !== detail) this.detail.textContent = detail;
  }
}

/** A line from one to another, with its words in the middle. */
class Line {
  constructor() {
    this.line = s("line", {});
    this.text = s("text", { class: "net-label", dy: 4 });
    this.group = s("g", { class: "net-line" }, this.line, this.text);
  }

  /** @param {{x: number, y: number}} from @param {{x: number, y: number}} to @param {string} kind @param {string} words */
  update(from, to, kind, words) {
    for (const [name, value] of Object.entries({ x1: from.x, y1: from.y, x2: to.x, y2: to.y })) this.line.setAttribute(name, String(value));
    const part = LABEL_AT[kind] ?? 0.5;
    const upright = Math.abs(to.x - from.x) < 80;
    this.text.setAttribute("x", String(Math.round(from.x + part * (to.x - from.x)) + (upright ? 10 : 0)));
    this.text.setAttribute("y", String(Math.round(from.y + part * (to.y - from.y))));
    this.text.setAttribute("text-anchor", upright ? "start" : "middle");
    this.group.setAttribute("data-kind", kind);
    if (this.text.textContent !== words) this.text.textContent = words;
  }
}

export class Drawing {
  /**
   * @param {string} me @param {string} server
   */
  constructor(me, server) {
    this.lines = s("g", {});
    this.nodes = s("g", {});
    this.element = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "network-drawing", role: "img", "data-testid": "network-drawing" }, this.lines, this.nodes);
    /** @type {Map<string, {node: Node, line: Line}>} */
    this.people = new Map();
    this.mine = { node: new Node("me", me), line: new Line() };
    this.server = new Node("server", server);
    this.lines.append(this.mine.line.group);
    this.nodes.append(this.mine.node.group, this.server.group);
  }

  /**
   * Show this, moving only what has another place now.
   * @param {{peers: any[], label: string, me: {detail: string, connected: boolean, words: string}, server: {detail: string}, words: (peer: any) => string}} shown
   */
  update({ peers, label, me, server, words }) {
    this.element.setAttribute("aria-label", label);
    this.mine.node.update(ME, { detail: me.detail });
    this.server.update(SERVER, { detail: server.detail, status: me.connected ? "online" : "offline" });
    this.mine.line.update(SERVER, ME, me.connected ? "server" : "lost", me.words);
    const drawn = peers.slice(0, MOST_DRAWN);
    const here = new Set(drawn.map((peer) => peer.user));
    for (const [user, { node, line }] of this.people) {
      if (here.has(user)) continue;
      node.group.remove();
      line.group.remove();
      this.people.delete(user);
    }
    const at = places(drawn.length);
    drawn.forEach((peer, index) => this.#person(peer, at[index], words(peer)));
  }

  /** @param {any} peer @param {{x: number, y: number}} at @param {string} words */
  #person(peer, at, words) {
    let known = this.people.get(peer.user);
    if (known === undefined) {
      known = { node: new Node("peer", peer.user), line: new Line() };
      known.node.group.setAttribute("data-user", peer.user);
      this.people.set(peer.user, known);
      this.lines.append(known.line.group);
      this.nodes.append(known.node.group);
    }
    const direct = peer.kind === "tcp" || peer.kind === "udp";
    known.node.update(at, { status: peer.status, kind: peer.kind, detail: direct ? peer.address : "" });
    known.line.update(peer.kind === "relay" ? SERVER : ME, at, peer.kind, words);
  }
}
