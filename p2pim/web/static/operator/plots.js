// @ts-check
/** The last hour and the last day, drawn by uPlot. */

import { byId, h, perFrame } from "../common/dom.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";

/** Places in a point, as p2pim.core.series.Point has them. */
const AT = 0, SECONDS = 1, CONNECTIONS = 2, MESSAGES = 3, RELAYED = 4, REQUESTS = 5, DIRECT = 7;
const LENGTHS = { hour: 3600, day: 86_400 };
const HEIGHT = 150;
/** Between two marks of an axis of bytes. */
const POWERS = Array.from({ length: 51 }, (_, power) => 2 ** power);

/** What is drawn: each line takes a place in a point; rates are divided by the seconds that were watched. */
const PLOTS = [
  { key: "connections", lines: [{ place: CONNECTIONS, colour: "--accent" }], rate: false },
  { key: "messages", lines: [{ place: MESSAGES, colour: "--accent" }], rate: true },
  { key: "bytes", lines: [{ place: RELAYED, colour: "--accent" }, { place: DIRECT, colour: "--good", dash: [6, 3] }], rate: true, size: true },
  { key: "requests", lines: [{ place: REQUESTS, colour: "--accent" }], rate: true },
];

/**
 * Columns for uPlot: the steps of the span without gaps, null where nobody watched.
 * @param {{step: number, points: any[][]}} series @param {number} length seconds @param {number} now
 * @param {{lines: {place: number}[], rate: boolean}} plot
 */
export function columns(series, length, now, plot) {
  const { step, points } = series;
  const last = Math.floor(now / step) * step;
  const first = last - length + step;
  const steps = Math.round(length / step);
  const byTime = new Map(points.map((point) => [point[AT], point]));
  const times = Array.from({ length: steps }, (_, index) => first + index * step);
  const lines = plot.lines.map(({ place }) =>
    times.map((at) => {
      const point = byTime.get(at);
      if (point === undefined) return null;
      if (!plot.rate) return point[place];
      return point[SECONDS] > 0 ? point[place] / point[SECONDS] : null;
    }),
  );
  return [times, ...lines];
}

/** @param {any} app */
export function mount(app) {
  const { store, t } = app;
  let span = "hour";
  const charts = PLOTS.map((plot) => new Chart(app, plot));
  const buttons = ["hour", "day"].map((each) =>
    h("button", { type: "button", "aria-pressed": String(each === span), dataset: { testid: `span-${each}` }, on: { click: () => choose(each) } }, t(`operator.span_${each}`)),
  );
  byId("spans").append(...buttons);

  /** @param {string} each */
  function choose(each) {
    span = each;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.testid === `span-${span}`));
    draw();
  }
  const draw = perFrame(() => {
    const series = store.series[span];
    if (series === undefined) return;
    for (const chart of charts) chart.show(series, /** @type {any} */ (LENGTHS)[span]);
  });
  store.on("series", draw);
  new ResizeObserver(draw).observe(byId("plots"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const chart of charts) chart.forget(); draw(); });
  new MutationObserver(() => { for (const chart of charts) chart.forget(); draw(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}

class Chart {
  /** @param {any} app @param {any} plot */
  constructor(app, plot) {
    this.app = app;
    this.plot = plot;
    const { t } = app;
    this.now = h("output", { class: "reading", dataset: { testid: `plot-${plot.key}` } });
    this.box = h("div", { class: "chart", role: "img" });
    const id = `plot-${plot.key}`;
    const key = plot.lines.length > 1 && h("p", { class: "legend" }, plot.lines.map((/** @type {any} */ line, /** @type {number} */ at) => h("span", { class: `line-${at}` }, t(`operator.line_${plot.key}_${at}`))));
    byId("plots").append(h("figure", { class: "plot", "aria-labelledby": id }, h("figcaption", null, h("h3", { id }, t(`operator.plot_${plot.key}`)), this.now), this.box, key));
    /** @type {any} */
    this.drawn = null;
  }

  /** Draw it afresh the next time: the colours are others. */
  forget() {
    this.drawn?.destroy();
    this.drawn = null;
  }

  /** @param {{step: number, points: any[][]}} series @param {number} length */
  show(series, length) {
    this.data = columns(series, length, Date.now() / 1000, this.plot);
    const width = Math.max(160, Math.floor(this.box.clientWidth));
    if (this.drawn === null) {
      this.drawn = new uPlot(this.options(width), this.data, this.box);
    } else {
      if (this.drawn.width !== width) this.drawn.setSize({ width, height: HEIGHT });
      this.drawn.setData(this.data);
    }
    this.read(null);
    this.describe();
  }

  /** @param {number} width */
  options(width) {
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ token) => style.getPropertyValue(token).trim();
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    return {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: true } },
      hooks: { setCursor: [(/** @type {any} */ drawn) => this.read(drawn.cursor.idx ?? null)] },
      scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, Math.max(most * 1.1, 1)] } },
      axes: [
        { ...axis, values: (/** @type {any} */ _, /** @type {number[]} */ times) => times.map((at) => this.app.f.clock(at).slice(0, 5)) },
        { ...axis, size: 64, ...(this.plot.size ? { incrs: POWERS } : {}), values: (/** @type {any} */ _, /** @type {number[]} */ values) => values.map((value) => this.amount(value)) },
      ],
      series: [{}, ...this.plot.lines.map((/** @type {any} */ line, /** @type {number} */ at) => ({ stroke: colour(line.colour), width: 2, dash: line.dash, fill: at === 0 ? `${colour(line.colour)}22` : undefined, points: { show: false }, spanGaps: false }))],
    };
  }

  /** @param {number | null} value */
  amount(value) {
    const { f } = this.app;
    if (value === null || value === undefined) return "–";
    return this.plot.size ? f.size(value) : f.rate(value);
  }

  /** Say the values at a place, or the newest ones. @param {number | null} index */
  read(index) {
    if (!this.data) return;
    const { t, f } = this.app;
    const times = /** @type {number[]} */ (this.data[0]);
    const at = index ?? times.length - 1;
    const values = this.data.slice(1).map((line) => this.amount(line[at] ?? (index === null ? line[at - 1] : null)));
    const text = values.join(" / ") + (this.plot.rate ? ` ${t("operator.per_second")}` : "");
    this.now.textContent = index === null ? text : `${f.clock(times[at])} – ${text}`;
  }

  /** The same in words, for who does not see it. */
  describe() {
    const { t } = this.app;
    const lines = /** @type {any[][]} */ (this.data).slice(1);
    const most = lines.map((line) => this.amount(Math.max(0, ...line.map((value) => value ?? 0)))).join(" / ");
    this.box.setAttribute("aria-label", t("operator.plot_words", { title: t(`operator.plot_${this.plot.key}`), now: this.now.textContent ?? "", most }));
  }
}
