// Boxes of models that read texts.
import { Box, area, bars, field } from "./box.js";
import { call } from "./calls.js";
import { el, percent } from "./dom.js";
import { stepsOf } from "./steps.js";
import { TextLook } from "./look.js";

const input = (value) => el("input", { type: "text", value, spellcheck: "false" });

function finish(box, told) {
  const facts = told.truncated ? ["the text was too long and was cut"] : [];
  box.result.append(stepsOf(told.steps, facts));
}

function look(box, model, subject) {
  if (model.looks) box.result.append(new TextLook(model, subject).node);
}

export function classifyBox(model) {
  const [textField, text] = field("Text", area("A warm, funny film. I did not want it to end."));
  return new Box({
    label: "Label", fields: [textField], named: { text, inputs: text },
    run: async (box) => {
      const told = await call("classify", { model: model.name, text: text.value }, box.signal);
      box.result.append(bars(told.labels));
      finish(box, told);
      look(box, model, { text: text.value });
    },
  });
}

export function tagBox(model) {
  const [textField, text] = field("Text", area("Ada Lovelace was born in London and worked with Charles Babbage."));
  return new Box({
    label: "Tag", fields: [textField], named: { text, texts: text },
    run: async (box) => {
      const sent = text.value;
      const told = await call("classify_tokens", { model: model.name, text: sent }, box.signal);
      box.result.append(told.spans.length ? marked(sent, told.spans) : el("p", { class: "empty" }, "The model found nothing to tag."));
      finish(box, told);
    },
  });
}

export function maskBox(model) {
  const [textField, text] = field("Text with a mask", area("The capital of France is [MASK]."), "Write the model's own mask token, [MASK] or <mask>.");
  return new Box({
    label: "Fill", fields: [textField], named: { text, texts: text },
    run: async (box) => {
      const told = await call("fill_mask", { model: model.name, text: text.value }, box.signal);
      told.masks.forEach((fills, index) => {
        if (told.masks.length > 1) box.result.append(el("h4", {}, `Mask ${index + 1}`));
        box.result.append(bars(fills.map((fill) => ({ label: fill.token, score: fill.score }))));
      });
      finish(box, told);
      look(box, model, { text: text.value });
    },
  });
}

export function questionBox(model) {
  const [questionField, question] = field("Question", input("Where was she born?"));
  const [contextField, context] = field("Text that may have the answer", area("Ada Lovelace was born in London in 1815. She wrote the first program.", 4));
  return new Box({
    label: "Find", fields: [questionField, contextField], named: { question, context, inputs: context },
    run: async (box) => {
      const sent = context.value;
      const told = await call("answer", { model: model.name, question: question.value, context: sent }, box.signal);
      const [best] = told.answers;
      box.result.append(best?.text ? marked(sent, [{ ...best, label: percent(best.score) }]) : el("p", { class: "empty" }, "The model says that the answer is not there."));
      box.result.append(bars(told.answers.map((found) => ({ label: found.text || "(no answer)", score: found.score }))));
      finish(box, told);
    },
  });
}

export function rerankBox(model) {
  const [queryField, query] = field("Query", input("How do I return a parcel?"));
  const [documentsField, documents] = field("Documents, one on each line", area("Parcels can be sent back within thirty days.\nWe open at nine.\nOur shop sells shoes and hats.", 5));
  return new Box({
    label: "Order", fields: [queryField, documentsField], named: { query, documents },
    run: async (box) => {
      const sent = linesOf(documents.value);
      const told = await call("rerank", { model: model.name, query: query.value, documents: sent }, box.signal);
      box.result.append(bars(told.ranked.map(({ index, score }) => ({ label: sent[index], score }))));
      finish(box, told);
    },
  });
}

export function embedBox(model) {
  const [textsField, texts] = field("Texts, one on each line", area("I ate a red apple.\nShe picked fruit from the tree.\nApple sells phones.", 5));
  return new Box({
    label: "Compare", fields: [textsField], named: { texts, inputs: texts },
    run: async (box) => {
      const sent = linesOf(texts.value);
      const told = await call("embed", { model: model.name, texts: sent }, box.signal);
      box.result.append(matrix(sent, told.cosines), el("p", { class: "hint" }, `Cosines of vectors of ${told.dimensions} dimensions: 1 is the same direction.`));
      finish(box, told);
      if (sent.length) look(box, model, { text: sent[0] });
    },
  });
}

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** A text with labelled spans, which are counted in characters. */
export function marked(text, spans) {
  const characters = [...text];
  const node = el("p", { class: "marked" });
  let at = 0;
  for (const span of [...spans].sort((one, other) => one.start - other.start)) {
    if (span.start < at) continue;
    node.append(characters.slice(at, span.start).join(""));
    node.append(el("mark", {}, characters.slice(span.start, span.end).join(""), el("span", { class: "tag" }, span.label)));
    at = span.end;
  }
  node.append(characters.slice(at).join(""));
  return node;
}

/** How alike things are, as a table that is shaded and says each number. */
export function matrix(names, cosines) {
  const head = el("tr", {}, el("td"), names.map((_, index) => el("th", { scope: "col" }, String(index + 1))));
  const rows = cosines.map((row, index) => el("tr", {}, el("th", { scope: "row" }, `${index + 1}  ${names[index]}`),
    row.map((value) => {
      const cell = el("td", {}, value.toFixed(2));
      cell.style.setProperty("--share", `${Math.round(Math.max(0, value) * 60)}%`);
      return cell;
    })));
  return el("div", { class: "scroll" }, el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, rows)));
}
