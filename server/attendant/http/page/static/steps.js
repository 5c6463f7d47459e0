// Draws the steps of an answer and how long each took.
import { durationText, el } from "./dom.js";

const ABOUT = {
  "tokenise": "text to tokens",
  "tokenise, queue": "text to tokens, and until the model had room",
  "queue": "until the model had room",
  "prefill": "the prompt, up to the first token",
  "decode": "the other tokens, one by one",
  "detokenise": "tokens to text, and out",
  "prepare": "input to numbers",
  "run": "the model, with all that shared its batch",
  "read out": "numbers to the answer",
  "decode the sound": "file to features",
};

/** A bar with a part for each step, and their times in words. */
export function stepsOf(steps, facts = []) {
  const total = steps.reduce((sum, step) => sum + step.s, 0);
  const bar = el("div", { class: "bar", "aria-hidden": "true" });
  const list = el("dl", { class: "steps" });
  steps.forEach((step, index) => {
    const part = el("span", { class: `part part-${index % 5}` });
    part.style.flexGrow = String(Math.max(step.s / (total || 1), 0.004));
    bar.append(part);
    list.append(el("div", { class: `step part-${index % 5}`, title: ABOUT[step.name] ?? "" },
      el("dt", {}, el("span", { class: "key", "aria-hidden": "true" }), step.name), el("dd", {}, durationText(step.s))));
  });
  list.append(el("div", { class: "step total" }, el("dt", {}, "in all"), el("dd", {}, durationText(total))));
  return el("section", { class: "timing", "aria-label": "Steps of the answer" }, bar, list,
    facts.length ? el("p", { class: "facts" }, facts.join(" · ")) : null);
}
