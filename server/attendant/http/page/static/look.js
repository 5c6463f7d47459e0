// What a model looked at, for a token of an answer, a token of a text, or a place in an image; and beside it what the
// answer hung on.
import { attention, attribute, largest, reduced, rowOf, withoutSink } from "./attention.js";
import { el, freshId, percent, setText, svg } from "./dom.js";

const VIEWS = [["layer", "one layer"], ["mean", "mean of all layers"], ["max", "largest of all layers"], ["rollout", "rollout"]];
const HARDLY = 0.2;
/** Natural logarithm: a probability that falls by less than a fifth hangs on nothing much. */
const NOTE = "Attention says where a model read, not why it answered so. What the answer hung on is beside it: each part left out in turn.";

/** Shows rows of attention over `keys`: `paint(row)` draws one. Gives `node` and `show(found, query)`. */
class AttentionView {
  constructor({ ask, sink = true, title }) {
    Object.assign(this, { ask, state: { view: "layer", layer: null, head: null, sink }, found: null, query: 0, rollout: null });
    const id = freshId("look");
    this.title = el("h4", {}, title);
    this.view = el("select", { id: `${id}-view` }, VIEWS.map(([value, text]) => el("option", { value }, text)));
    this.slider = el("input", { type: "range", id: `${id}-layer`, min: 0, step: 1 });
    this.layerText = el("output", { for: `${id}-layer` });
    this.sinkBox = el("input", { type: "checkbox", checked: sink });
    this.sinkLine = el("label", { class: "check" }, this.sinkBox, el("span", {}, "Leave out the first token. Attention that has nowhere to go ends up there (a sink); the others are scaled up to 100 %."));
    this.shaded = el("div", { class: "shaded" });
    this.top = el("p", { class: "top-list", role: "status" });
    this.heads = el("div", { class: "heads", role: "group", "aria-label": "Heads of the layer" });
    this.about = el("p", { class: "hint" });
    this.layerField = el("div", { class: "field slider" }, el("label", { for: `${id}-layer` }, "Layer ", this.layerText), this.slider);
    this.node = el("section", { class: "attention", "aria-label": title }, this.title,
      el("div", { class: "controls" }, el("div", { class: "field" }, el("label", { for: `${id}-view` }, "Attention of"), this.view), this.layerField),
      this.shaded, this.top, this.heads, sink ? this.sinkLine : null, this.about);
    this.view.addEventListener("change", () => this.change({ view: this.view.value }));
    this.slider.addEventListener("input", () => this.change({ layer: Number(this.slider.value) }));
    this.sinkBox.addEventListener("change", () => this.change({ sink: this.sinkBox.checked }));
  }

  change(part) {
    Object.assign(this.state, part);
    this.draw();
  }

  /** Shows the row `query` of what was found; `keys` are the tokens that it is over. */
  show(found, query, painter) {
    Object.assign(this, { found, query, painter, rollout: null });
    const last = found.layers.length - 1;
    this.slider.max = last;
    if (this.state.layer === null || this.state.layer > last) this.state.layer = Math.floor(last / 2);
    this.slider.value = this.state.layer;
    this.draw();
  }

  async draw() {
    if (!this.found) return;
    const { view, layer, head } = this.state;
    const one = view === "layer";
    this.layerField.hidden = this.heads.hidden = !one;
    setText(this.layerText, `${layer} of 0 to ${this.found.layers.length - 1}`);
    this.slider.setAttribute("aria-valuetext", `layer ${layer}`);
    if (view === "rollout" && !this.rollout) {
      setText(this.about, "Computing the rollout.");
      this.rollout = await this.ask("rollout", this.query).catch((error) => { setText(this.about, error.message); return null; });
      if (!this.rollout) return;
    }
    const row = this.row(view, layer, head);
    this.paint(row);
    if (one) this.multiples(layer, head);
    setText(this.about, this.words(view));
  }

  row(view, layer, head) {
    const { layers } = this.found;
    const rowsOf = (piece) => [...Array(piece.shape[0]).keys()].map((number) => rowOf(piece, number, this.query));
    if (view === "rollout") return this.trim(rowOf(this.rollout.layers[0], 0, this.rollout.query ?? 0));
    if (view === "mean" || view === "max") return this.trim(reduced(layers.flatMap(rowsOf), view === "max"));
    const rows = rowsOf(layers[layer]);
    return this.trim(head === null || head >= rows.length ? reduced(rows) : rows[head]);
  }

  trim(row) {
    return this.state.sink ? withoutSink(row) : row;
  }

  paint(row) {
    this.painter.paint(this.shaded, row);
    const named = largest(row, 4).map((index) => `${this.painter.name(index)} ${percent(row[index])}`);
    setText(this.top, named.length ? `Looked most at: ${named.join(", ")}.` : "It looked at nothing else.");
  }

  multiples(layer, chosen) {
    const piece = this.found.layers[layer];
    const cards = [[null, "all, mean"], ...[...Array(piece.shape[0]).keys()].map((head) => [head, `head ${head}`])];
    const had = this.heads.contains(document.activeElement) ? document.activeElement.dataset.head : null;
    this.heads.replaceChildren(...cards.map(([head, text]) => {
      const row = this.row("layer", layer, head);
      return el("button", { type: "button", class: "head", "data-head": String(head), "aria-pressed": String(head === chosen), onclick: () => this.change({ head }) },
        this.painter.small(row), el("span", {}, text));
    }));
    if (had !== null) this.heads.querySelector(`[data-head="${had}"]`)?.focus();
  }

  words(view) {
    const source = this.found.header.source === "eager" ? " Weights are of a graph of its own beside the served one, in float32." : " Weights are those of the served graph.";
    const kind = {
      layer: "One layer; choose a head to see it alone.",
      mean: "The mean over all layers and heads.",
      max: "For each token the largest weight of all layers and heads; it need not sum up to 100 %.",
      rollout: "Rollout follows attention down through all layers, half of each row staying with the token itself (Abnar and Zuidema, 2020).",
    }[view];
    return kind + source;
  }
}

/** A token as a word in a sentence: without the space before it, and if it is nothing else with signs for that. */
const shown = (text) => text.trim() || text.replace(/\n/g, "⏎").replace(/ /g, "·").replace(/\t/g, "⇥");

/** Draws rows over tokens: as shaded text, and small as bars. */
class TokenPainter {
  constructor(tokens, choose = null, chosen = null) {
    Object.assign(this, { tokens, choose, chosen });
  }

  name(index) {
    return `“${shown(this.tokens[index].text)}”`;
  }

  paint(home, row) {
    const most = Math.max(...row, 1e-9);
    home.classList.add("tokens");
    home.replaceChildren(...this.tokens.slice(0, row.length).map((token, index) => {
      const tag = this.choose ? "button" : "span";
      const node = el(tag, { class: token.special ? "cell special" : "cell", title: percent(row[index], 1), type: this.choose ? "button" : null,
        "aria-pressed": this.choose ? String(index === this.chosen) : null, onclick: this.choose ? () => this.choose(index) : null }, token.text);
      node.style.setProperty("--share", `${Math.round((row[index] / most) * 100)}%`);
      return node;
    }));
  }

  small(row) {
    const most = Math.max(...row, 1e-9);
    const width = Math.max(row.length, 8);
    const bars = [...row].map((value, index) => svg("rect", { x: index, y: 20 - 20 * (value / most), width: 0.8, height: 20 * (value / most) }));
    return svg("svg", { viewBox: `0 0 ${width} 20`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars);
  }
}

/** Draws rows over the patches of an image. */
class PatchPainter {
  constructor(url, grid, choose) {
    Object.assign(this, { url, grid, choose });
  }

  name(index) {
    const place = index - this.grid.num_prefix;
    if (place < 0) return "its own token:";
    return `row ${Math.floor(place / this.grid.columns) + 1} column ${(place % this.grid.columns) + 1}:`;
  }

  /** `opacity` of a patch, of its share of the largest. */
  drawing(row, name, opacity) {
    const { columns, rows, num_prefix: first } = this.grid;
    const patches = [...row].slice(first);
    const most = Math.max(...patches, 1e-9);
    const cells = patches.map((value, index) => svg("rect", {
      x: index % columns, y: Math.floor(index / columns), width: 1.01, height: 1.01, "fill-opacity": opacity(value / most).toFixed(3),
    }));
    return svg("svg", { viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true", class: name }, ...cells);
  }

  paint(home, row) {
    home.classList.add("picture");
    const image = el("img", { src: this.url, alt: "The image, dark where the model did not look" });
    home.replaceChildren(el("div", { class: "under" }, image, this.drawing(row, "dim", (share) => 0.85 * (1 - share))));
  }

  small(row) {
    return this.drawing(row, "square", (share) => share);
  }
}

/** What the answer hung on: parts that speak for it, and against it. */
export class OcclusionView {
  constructor(title) {
    this.body = el("div", { class: "shaded tokens" });
    this.top = el("p", { class: "top-list" });
    this.about = el("p", { class: "hint" });
    this.node = el("section", { class: "occlusion", "aria-label": title }, el("h4", {}, title), this.body, this.top, this.about);
  }

  wait(words) {
    setText(this.about, words);
  }

  /** `weight(part)`: of which number; `text`: what the parts are of, where they say their places in it. */
  show(told, weight, text) {
    const values = told.parts.map(weight);
    const largest = Math.max(...values.map(Math.abs));
    const most = Math.max(largest, HARDLY); // little is to look like little
    const pieces = [];
    let at = 0;
    const characters = text === undefined ? null : [...text];
    told.parts.forEach((part, index) => {
      if (characters && part.end > part.start) {
        pieces.push(characters.slice(at, part.start).join(""));
        at = part.end;
      } else if (index) pieces.push(" ");
      const value = values[index];
      const node = el("span", { class: value >= 0 ? "cell for" : "cell against", title: signed(value) }, part.text);
      node.style.setProperty("--share", `${Math.round((Math.abs(value) / most) * 100)}%`);
      pieces.push(node);
    });
    this.body.replaceChildren(...pieces);
    const order = [...values.keys()].sort((one, other) => Math.abs(values[other]) - Math.abs(values[one])).slice(0, 4);
    const lead = largest < HARDLY ? "No part weighs much by itself" : "Weighs most";
    setText(this.top, `${lead}: ${order.map((index) => `“${told.parts[index].text.trim()}” ${signed(values[index])}`).join(", ")}.`);
    setText(this.about, "How much less probable the answer is without a part (natural logarithm). + speaks for the answer, − against it.");
  }
}

/** A change of a log-probability, with the digits that tell it from 0. */
function signed(value) {
  const size = Math.abs(value);
  if (size < 0.0005) return "0";
  return `${value < 0 ? "−" : "+"}${size.toFixed(size < 0.095 ? 3 : 2)}`;
}

function pair(attentionNode, ...beside) {
  return [el("div", { class: "pair" }, attentionNode, el("div", { class: "beside" }, beside)), el("p", { class: "note" }, NOTE)];
}

/** For tokens of an answer: which tokens before them, or of the source, each looked at. */
export class TokenLook {
  constructor(home, model, subject, prompt, tokens) {
    Object.assign(this, { home, model, subject, prompt, tokens, whole: null, effects: null });
    this.crosses = prompt === null;
    this.ids = tokens.map((token) => token.id);
    this.title = el("h3", { class: "look-title" });
    this.side = el("div");
    this.view = new AttentionView({ title: this.crosses ? "What it looked at in the source" : "What it looked at", sink: !this.crosses, ask: (kind, query) => this.rows(this.index, kind, query) });
    if (this.crosses) this.view.view.querySelector("[value=rollout]").remove();
    this.occlusion = new OcclusionView("What it hung on");
    this.node = el("div", { class: "look" }, this.title, pair(this.view.node, this.occlusion.node, this.side));
  }

  async show(index, alternatives) {
    this.index = index;
    if (!this.home.contains(this.node)) this.home.replaceChildren(this.node);
    setText(this.title, `Token ${index + 1}: “${shown(this.tokens[index].text)}”`);
    this.side.replaceChildren(alternatives);
    await Promise.all([this.showAttention(index), this.showOcclusion(index)]);
  }

  async showAttention(index) {
    try {
      const found = await this.rows(index);
      if (this.index !== index) return;
      this.view.show(found, found.query, new TokenPainter(found.header.keys));
    } catch (error) {
      setText(this.view.about, error.message);
    }
  }

  body() {
    const subject = this.crosses ? this.subject : { token_ids: this.prompt.map((token) => token.id) };
    return { model: this.model.name, ...subject, answer_ids: this.ids };
  }

  async rows(index, reduction) {
    if (this.crosses) {
      this.whole ??= attention({ ...this.body(), kind: "cross", answer_only: true });
      return { ...(await this.whole), query: index };
    }
    // The row that chose a token is the one of the token before it.
    const first = this.prompt.length + index - 1;
    const found = await attention({ ...this.body(), first_query: first, num_queries: 1, ...(reduction ? { reduction } : {}) });
    found.header.keys.length = Math.min(found.header.keys.length, first + 1);
    found.layers = found.layers.map((piece) => trimmed(piece, first + 1));
    return { ...found, query: 0 };
  }

  async showOcclusion(index) {
    this.occlusion.wait("Leaving out each part in turn.");
    try {
      this.effects ??= attribute({ model: this.model.name, ...this.subject, answer_ids: this.ids });
      const told = await this.effects;
      if (this.index !== index) return;
      this.occlusion.show(told, (part) => part.token_weights[index] ?? part.weight, this.subject.text);
    } catch (error) {
      this.effects = null;
      this.occlusion.wait(error.message);
    }
  }
}

/** A piece with the first `keys` of each row alone: what a decoder's token could see. */
function trimmed({ layer, shape: [heads, queries, keys], weights }, wanted) {
  const width = Math.min(keys, wanted);
  const out = new Float32Array(heads * queries * width);
  for (let row = 0; row < heads * queries; row++) out.set(weights.subarray(row * keys, row * keys + width), row * width);
  return { layer, shape: [heads, queries, width], weights: out };
}

/** For models that read a text: choose a token of it. */
export class TextLook {
  constructor(model, subject) {
    Object.assign(this, { model, subject });
    this.view = new AttentionView({ title: "What each token looked at", ask: (kind) => this.rows(this.query, kind) });
    this.occlusion = new OcclusionView("What the answer hung on");
    const classifies = model.can.includes("classify");
    this.node = el("div", { class: "look" }, el("h3", { class: "look-title" }, "What it looked at"), classifies ? pair(this.view.node, this.occlusion.node) : [this.view.node, el("p", { class: "note" }, NOTE)]);
    this.choose(0);
    if (classifies) this.weigh();
  }

  async rows(query, reduction) {
    const found = await attention({ model: this.model.name, ...this.subject, first_query: query, num_queries: 1, ...(reduction ? { reduction } : {}) });
    return { ...found, query: 0 };
  }

  async choose(query) {
    this.query = query;
    try {
      const found = await this.rows(query);
      const tokens = found.header.keys;
      this.view.show(found, 0, new TokenPainter(tokens, (index) => this.choose(index), query));
      setText(this.view.title, `What “${shown(tokens[query].text)}” looked at`);
    } catch (error) {
      setText(this.view.about, error.message);
    }
  }

  async weigh() {
    this.occlusion.wait("Leaving out each word in turn.");
    try {
      const told = await attribute({ model: this.model.name, ...this.subject });
      this.occlusion.show(told, (part) => part.weight, this.subject.text);
    } catch (error) {
      this.occlusion.wait(error.message);
    }
  }
}

/** For models that see: which patches the image's own token looked at. */
export class ImageLook {
  constructor(model, subject, url) {
    Object.assign(this, { model, subject, url });
    this.view = new AttentionView({ title: "Where it looked", sink: false, ask: (kind) => this.rows(kind) });
    this.node = el("div", { class: "look" }, this.view.node, el("p", { class: "note" }, "Attention says where a model read, not why it answered so."));
    this.start();
  }

  async rows(reduction) {
    const found = await attention({ model: this.model.name, ...this.subject, first_query: 0, num_queries: 1, ...(reduction ? { reduction } : {}) });
    return { ...found, query: 0 };
  }

  async start() {
    try {
      const found = await this.rows();
      this.view.show(found, 0, new PatchPainter(this.url, found.header.grid));
    } catch (error) {
      setText(this.view.about, error.message);
    }
  }
}
