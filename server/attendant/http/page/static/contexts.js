// The box that asks how alike a model takes one word to be in two contexts.
import { Box, area, field } from "./box.js";
import { call } from "./calls.js";
import { el } from "./dom.js";

export function contextsBox(model) {
  const text = (value) => el("input", { type: "text", value, spellcheck: "false" });
  const [wordField, word] = field("Word", text("apple"));
  const [oneField, one] = field("First context", area("I ate a red apple after lunch.", 2));
  const [otherField, other] = field("Second context", area("The new phone of apple is expensive.", 2));
  return new Box({
    label: "Compare", fields: [wordField, el("div", { class: "row" }, oneField, otherField)], named: { contexts: one, word },
    run: async (box) => {
      const contexts = [one.value, other.value].map((value) => ({ text: value, word: word.value }));
      const told = await call("similarity", { model: model.name, contexts }, box.signal);
      const cosine = told.cosines[0][1];
      const meter = el("div", { class: "dial" }, el("span", { class: "number" }, cosine.toFixed(2)), el("span", { class: "unit" }, "cosine"));
      box.result.append(el("div", { class: "contexts" }, context(one.value, word.value, told.words[0]), meter, context(other.value, word.value, told.words[1])),
        el("p", { class: "hint" }, "1: the word means the same to the model in both. Vectors are those of the last layer, the mean over the word's tokens."));
    },
  });
}

function context(text, word, tokens) {
  const at = text.indexOf(word);
  const shown = at < 0 ? [text] : [text.slice(0, at), el("mark", {}, word), text.slice(at + word.length)];
  return el("div", { class: "context" }, el("p", {}, shown), el("p", { class: "hint" }, `${tokens.length === 1 ? "token" : "tokens"}: ${tokens.map((token) => token.text.trim()).join(" + ")}`));
}
