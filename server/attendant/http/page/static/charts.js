// Live charts of the last ten minutes: a line for each model, told apart by colour and by dashes.
/* global uPlot */
import { duration, durationText, el, NONE, percent, setText, short } from "./dom.js";

const KEPT_S = 600;
const LEAST_S = 120;
const COLOURS = 6; // --line-0 and so on, of the style sheet
const DASHES = [[], [6, 3], [2, 3], [10, 3, 2, 3], [4, 2], [1, 4]];

const seconds = { text: durationText, axis: (value) => duration(value).join("") };
const plain = { text: short, axis: short };
const share = { text: (value) => percent(value), axis: (value) => `${Math.round(value * 100)}%` };

const KINDS = {
  generate: [
    ["first_s", "First token", "from arrival, p50", seconds],
    ["each_s", "Between tokens", "p50", seconds],
    ["rate", "Throughput", "tokens a second", plain],
    ["batch", "Batch", "answers a step", plain],
    ["kv", "KV memory", "in use", share],
    ["waiting", "Queue", "waiting", plain],
    ["refused", "Refused", "in five seconds", plain],
    ["kept", "Objectives", "kept in time", share],
  ],
  encode: [
    ["first_s", "Wait", "until a run begins, p50", seconds],
    ["each_s", "Run", "of a batch, p50", seconds],
    ["rate", "Throughput", "inputs a second", plain],
    ["batch", "Batch", "inputs a run", plain],
    ["waiting", "Queue", "waiting", plain],
    ["refused", "Refused", "in five seconds", plain],
    ["kept", "Objectives", "kept in time", share],
  ],
};
const WITH_P99 = { first_s: "first_p99_s", each_s: "each_p99_s" };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export class Charts {
  constructor(grid, legend, view, note) {
    Object.assign(this, { grid, legend, select: view, note, points: [], models: [], shown: [], names: null });
    view.addEventListener("change", () => this.build());
    document.addEventListener("attendant-theme", () => this.build());
    new ResizeObserver(() => this.resize()).observe(grid);
  }

  fill(points, models) {
    const now = Date.now() / 1000;
    this.points = points.map((point) => ({ at: now - point.age_s, models: point.models }));
    this.learn(models);
    this.build();
  }

  add(point, models) {
    const now = Date.now() / 1000;
    this.points.push({ at: now - point.age_s, models: point.models });
    while (this.points.length && this.points[0].at < now - KEPT_S - 5) this.points.shift();
    if (this.learn(models)) this.build();
    else this.draw();
  }

  /** Offers the views there are. True if they changed. */
  learn(models) {
    const kinds = new Map();
    for (const point of this.points.slice(-1)) {
      for (const name of Object.keys(point.models)) {
        const model = models.find((found) => found.name === name);
        if (model) kinds.set(name, model.can.includes("generate") ? "generate" : "encode");
      }
    }
    const names = [...kinds].join("\n");
    if (names === this.names) return false;
    this.names = names;
    this.models = [...kinds].map(([name, kind]) => ({ name, kind }));
    const of = (kind) => this.models.filter((model) => model.kind === kind);
    const groups = [["generate", "all that generate"], ["encode", "all that encode"]].filter(([kind]) => of(kind).length > 1 || (of(kind).length === 1 && this.models.length === 1));
    const before = this.select.value;
    this.select.replaceChildren(
      ...groups.map(([kind, text]) => el("option", { value: `*${kind}` }, text)),
      ...this.models.map(({ name }) => el("option", { value: `=${name}` }, name)));
    if ([...this.select.options].some((option) => option.value === before)) this.select.value = before;
    return true;
  }

  view() {
    const value = this.select.value;
    if (!value) return { kind: "generate", names: [], single: false };
    if (value.startsWith("=")) {
      const name = value.slice(1);
      return { kind: this.models.find((model) => model.name === name)?.kind ?? "generate", names: [name], single: true };
    }
    const kind = value.slice(1);
    return { kind, names: this.models.filter((model) => model.kind === kind).map((model) => model.name).slice(0, COLOURS), single: false };
  }

  build() {
    for (const chart of this.shown) chart.plot.destroy();
    this.shown = [];
    const view = this.view();
    const charts = KINDS[view.kind].filter(([key]) => key !== "kept" || this.hasObjectives(view));
    this.legend.replaceChildren(...this.legendItems(view));
    const sync = uPlot.sync("attendant");
    this.grid.replaceChildren();
    for (const [key, title, about, form] of charts) {
      const lines = linesOf(view, key);
      this.shown.push(new Chart(this.grid, { key, title, about, form, lines, sync }));
    }
    this.draw();
  }

  legendItems(view) {
    const items = view.names.map((name, index) => legendItem(name, index));
    return view.single ? [...items, legendItem("p99 of the times", 1)] : items;
  }

  hasObjectives(view) {
    return this.points.some((point) => view.names.some((name) => typeof point.models[name]?.kept === "number"));
  }

  draw() {
    const times = this.points.map((point) => point.at);
    const now = times.length ? times[times.length - 1] : Date.now() / 1000;
    for (const chart of this.shown) chart.draw(times, this.points, now);
    const view = this.view();
    const told = Object.values(this.points.at(-1)?.models ?? {}).length;
    setText(this.note, told ? "The last ten minutes; each point is about five seconds." : "Figures come with the first model that is ready.");
    if (told && !this.shown.some((chart) => chart.key === "kept") && this.hasObjectives(view)) this.build();
  }

  resize() {
    for (const chart of this.shown) chart.resize();
  }
}

function linesOf(view, key) {
  const lines = view.names.map((name, index) => ({ name, key, index, label: name }));
  if (view.single && key in WITH_P99) lines.push({ name: view.names[0], key: WITH_P99[key], index: 1, label: "p99" });
  return lines;
}

/** One value, or the least and the most of several lines: which is whose, the lines show. */
function between(values, text) {
  if (!values.length) return NONE;
  const ends = [text(Math.min(...values)), text(Math.max(...values))];
  return ends[0] === ends[1] ? ends[0] : ends.join("–");
}

function legendItem(text, index) {
  const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  swatch.setAttribute("viewBox", "0 0 28 6");
  swatch.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of Object.entries({ x1: 0, y1: 3, x2: 28, y2: 3, class: `stroke-${index}`, "stroke-dasharray": DASHES[index].join(" ") })) line.setAttribute(name, value);
  swatch.append(line);
  return el("li", {}, swatch, el("span", {}, text));
}

class Chart {
  constructor(home, { key, title, about, form, lines, sync }) {
    Object.assign(this, { key, title, about, form, lines });
    this.value = el("span", { class: "now" }, NONE);
    this.when = el("span", { class: "when" }, about);
    this.empty = el("p", { class: "nothing", "aria-hidden": "true" }, "nothing yet");
    this.place = el("div", { class: "plot", role: "img", "aria-label": title });
    this.node = el("figure", { class: "chart", "data-chart": key },
      el("figcaption", {}, el("span", { class: "title" }, title), this.value, this.when), el("div", { class: "plot-box" }, this.place, this.empty));
    home.append(this.node);
    this.plot = new uPlot(this.options(sync), [[], ...lines.map(() => [])], this.place);
  }

  options(sync) {
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--hair"), width: 1 }, ticks: { show: false }, font: "12px " + getComputedStyle(document.body).fontFamily };
    return {
      width: this.width(), height: 132, padding: [8, 4, 0, 0], legend: { show: false },
      cursor: { sync: { key: sync.key }, y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true, range: () => [this.from, this.now] }, y: { range: (_, __, high) => [0, this.top(high)] } },
      series: [{}, ...this.lines.map(({ index, label }) => ({
        label, stroke: colour(`--line-${index}`), width: 2, dash: DASHES[index], spanGaps: false, points: { show: false },
      }))],
      axes: [
        { ...axis, size: 24, space: 70, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toTimeString().slice(0, 5)), incrs: [30, 60, 120, 300] },
        { ...axis, size: 46, space: 34, values: (_, ticks) => ticks.map((tick) => (tick === 0 ? "0" : this.form.axis(tick))) },
      ],
      hooks: { setCursor: [(plot) => this.point(plot.cursor.idx)] },
    };
  }

  top(high) {
    if (this.form === share) return 1;
    return high && high > 0 ? high * 1.1 : 1;
  }

  width() {
    return Math.max(160, Math.floor(this.place.clientWidth || 280));
  }

  draw(times, points, now) {
    this.now = now;
    this.from = Math.max(now - KEPT_S, Math.min(times[0] ?? now, now - LEAST_S));
    const data = this.lines.map(({ name, key }) => points.map((point) => point.models[name]?.[key] ?? null));
    this.data = [times, ...data];
    this.empty.hidden = data.some((values) => values.some((value) => value !== null));
    this.plot.setData(this.data);
    if (this.plot.cursor.idx === null || this.plot.cursor.idx === undefined) this.point(null);
  }

  /** Says the values at the cursor, or the last ones. */
  point(index) {
    if (!this.data) return;
    const times = this.data[0];
    const at = index ?? times.length - 1;
    const values = this.lines.map((line, number) => [line.label, this.data[number + 1][at] ?? null]);
    const known = values.filter(([, value]) => value !== null);
    setText(this.value, between(known.map(([, value]) => value), this.form.text));
    setText(this.when, index === null ? this.about : new Date(times[at] * 1000).toTimeString().slice(0, 8));
    if (index === null) {
      const told = known.map(([label, value]) => `${label} ${this.form.text(value)}`).join(", ");
      this.place.setAttribute("aria-label", `${this.title}, ${this.about}: ${told || "nothing yet"}`);
    }
  }

  resize() {
    const width = this.width();
    if (Math.abs(width - this.plot.width) > 1) this.plot.setSize({ width, height: 132 });
  }
}
