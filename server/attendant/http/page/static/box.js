// A box to try a model: fields, run and stop, what went wrong in words, and a place for the result.
import { CallError } from "./calls.js";
import { el, freshId, percent, setText } from "./dom.js";

/** A field with its label. Gives [node, input]. */
export function field(label, input, hint = "") {
  const id = freshId("field");
  input.id = id;
  const hintId = hint ? `${id}-hint` : null;
  if (hint) input.setAttribute("aria-describedby", hintId);
  return [el("div", { class: "field" }, el("label", { for: id }, label), input, hint ? el("p", { class: "hint", id: hintId }, hint) : null), input];
}

export const area = (value, rows = 3) => el("textarea", { rows, value, spellcheck: "false" });

/** A number field; empty means the model's own default. */
export const number = (attributes) => el("input", { type: "number", inputmode: "decimal", placeholder: "default", ...attributes });

/** What a number field says: undefined if it is empty. */
export const numberOf = (input) => (input.value.trim() === "" ? undefined : Number(input.value));

export class Box {
  /** `run(box)` does the work; `fields` are nodes; `named` says which input a field of an error is about. */
  constructor({ fields, run, named = {}, label = "Run" }) {
    this.work = run;
    this.named = named;
    this.start = el("button", { type: "submit", class: "primary" }, label);
    this.stop = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.abort?.abort() }, "Stop");
    this.status = el("p", { class: "status", role: "status" });
    this.error = el("p", { class: "error", role: "alert", hidden: true, id: freshId("error") });
    this.result = el("div", { class: "result" });
    this.form = el("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.run(); } },
      fields, el("div", { class: "actions" }, this.start, this.stop, this.status), this.error);
    this.node = el("div", { class: "box" }, this.form, this.result);
  }

  get signal() {
    return this.abort.signal;
  }

  async run() {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    this.clear();
    this.stop.hidden = false;
    setText(this.status, "Working");
    try {
      await this.work(this);
      if (this.abort === abort) setText(this.status, this.done ?? "Done");
    } catch (error) {
      if (this.abort !== abort) return;
      if (error.name === "AbortError") setText(this.status, "Stopped");
      else this.fail(error);
    } finally {
      if (this.abort === abort) this.stop.hidden = true;
    }
  }

  clear() {
    this.done = null;
    this.error.hidden = true;
    this.result.replaceChildren();
    for (const input of Object.values(this.named)) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-errormessage");
    }
  }

  fail(error) {
    setText(this.status, "");
    const input = error.field ? this.named[error.field.split(/[.[]/)[0]] : null;
    if (input) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-errormessage", this.error.id);
      input.focus();
    }
    const words = error instanceof CallError ? error.message : `This page failed: ${error.message}`;
    this.error.replaceChildren(el("strong", {}, "It did not work. "), sentence(words));
    this.error.hidden = false;
  }
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

/** Shares as bars, best first: [{label, score}]. */
export function bars(entries) {
  const list = el("ol", { class: "bars" });
  for (const { label, score } of entries) {
    const fill = el("span", { class: "fill", "aria-hidden": "true" });
    fill.style.width = `${Math.max(0, Math.min(1, score)) * 100}%`;
    list.append(el("li", {}, el("span", { class: "label" }, label), el("span", { class: "track" }, fill), el("span", { class: "score" }, score >= 0 && score <= 1 ? percent(score, 1) : score.toFixed(3))));
  }
  return list;
}
