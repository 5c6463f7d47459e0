// Boxes of models that generate: an answer token by token, each of which can be asked what it looked at.
import { Box, area, field, number, numberOf } from "./box.js";
import { lines } from "./calls.js";
import { durationText, el, percent } from "./dom.js";
import { stepsOf } from "./steps.js";
import { TokenLook } from "./look.js";

const ENDS = { stop: "it ended by itself", length: "it reached the longest answer allowed", cancelled: "it was stopped" };

export function answerBox(model) {
  const [promptField, prompt] = field(model.chats ? "Your message" : "The text to go on with", area("Where is my order?"));
  const [maxField, max] = field("Longest answer, in tokens", number({ min: 1, step: 1, value: "64" }));
  const [heatField, heat] = field("Temperature", number({ min: 0, step: 0.1 }), "0 takes the most probable token.");
  const asChat = el("input", { type: "checkbox", checked: model.chats });
  const chat = el("label", { class: "check" }, asChat, el("span", {}, "As a chat, in the model's own form"));
  return new Box({
    label: "Answer",
    fields: [promptField, el("div", { class: "row" }, maxField, heatField), model.chats ? chat : null],
    named: { text: prompt, chat: prompt, token_ids: prompt, max_tokens: max, temperature: heat },
    run: (box) => {
      const isChat = model.chats && asChat.checked;
      const subject = isChat ? { chat: [{ role: "user", content: prompt.value }] } : { text: prompt.value };
      const body = { model: model.name, ...subject, max_tokens: numberOf(max), temperature: numberOf(heat) };
      return stream(box, model, "generate", body, subject);
    },
  });
}

export function translateBox(model) {
  const [textField, text] = field("Text", area("The blue car is behind the house."));
  const languages = model.languages ?? [];
  const pick = (label) => field(label, el("select", {}, el("option", { value: "" }, "default"), languages.map((code) => el("option", { value: code }, code))));
  const [fromField, from] = pick("From");
  const [toField, to] = pick("To");
  return new Box({
    label: "Translate",
    fields: [textField, languages.length ? el("div", { class: "row" }, fromField, toField) : null],
    named: { text, source_language: from, target_language: to },
    run: (box) => {
      const translation = languages.length ? { source_language: from.value, target_language: to.value } : {};
      const body = { model: model.name, text: text.value, ...translation };
      return stream(box, model, "translate", body, { text: text.value, ...translation });
    },
  });
}

async function stream(box, model, name, body, subject) {
  const tokens = [];
  const answer = el("div", { class: "answer", role: "listbox", "aria-label": "Tokens of the answer", "aria-orientation": "horizontal" });
  const hint = el("p", { class: "hint" });
  const about = el("div", { class: "about-token" });
  box.result.append(answer, hint, about);
  const list = new TokenList(answer, tokens);
  let prompt = null;
  let end = null;
  for await (const line of lines(name, body, box.signal)) {
    if (line.prompt) prompt = line.prompt;
    else if (line.finish) end = line;
    else list.add(line);
  }
  if (!tokens.length) answer.replaceWith(el("p", { class: "empty" }, "The model ended at once, without a word."));
  const facts = [`${end.prompt_tokens} tokens in${end.cached_tokens ? `, ${end.cached_tokens} of them known from before` : ""}`, `${end.completion_tokens} out`, `first token after ${durationText(end.first_token_s)}`];
  box.result.insertBefore(stepsOf(end.steps, facts), hint);
  box.done = `Done: ${tokens.length} tokens; ${ENDS[end.finish] ?? end.finish}.`;
  if (!tokens.length) return;
  hint.textContent = model.looks
    ? "Choose a token, by a click or with the arrow keys and Enter, to see what it looked at."
    : "Choose a token, by a click or with the arrow keys and Enter, to see what else might have stood there.";
  const look = model.looks ? new TokenLook(about, model, subject, prompt, tokens) : null;
  list.onChosen((index) => {
    if (!look) about.replaceChildren(alternatives(tokens[index]));
    else look.show(index, alternatives(tokens[index]));
  });
}

/** Tokens that can be chosen, one of which has the focus. */
class TokenList {
  constructor(home, tokens) {
    Object.assign(this, { home, tokens, told: null, chosen: null, at: 0 });
    home.addEventListener("click", (event) => {
      const node = event.target.closest("[role=option]");
      if (node) this.choose(this.nodes().indexOf(node));
    });
    home.addEventListener("keydown", (event) => this.key(event));
  }

  nodes() {
    return [...this.home.children];
  }

  add({ text, tokens }) {
    let left = text;
    tokens.forEach((token, index) => {
      const own = tokens.length === 1 || index === tokens.length - 1 ? left : left.startsWith(token.text) ? token.text : "";
      left = left.slice(own.length);
      this.tokens.push({ ...token, text: own });
      this.home.append(el("span", { role: "option", class: "token", tabindex: this.tokens.length === 1 ? "0" : "-1", "aria-selected": "false" }, own));
    });
    if (left && this.tokens.length) {
      this.tokens.at(-1).text += left;
      this.home.lastElementChild.textContent += left;
    }
  }

  choose(index) {
    this.focus(index);
    this.chosen = index;
    this.nodes().forEach((node, number) => node.setAttribute("aria-selected", String(number === index)));
    this.told?.(index);
  }

  /** Who hears which token is chosen, and which one was while the answer was still on its way. */
  onChosen(told) {
    this.told = told;
    if (this.chosen !== null) told(this.chosen);
  }

  focus(index) {
    const nodes = this.nodes();
    nodes[this.at].tabIndex = -1;
    this.at = Math.max(0, Math.min(nodes.length - 1, index));
    nodes[this.at].tabIndex = 0;
    nodes[this.at].focus();
  }

  key(event) {
    const moves = { ArrowRight: this.at + 1, ArrowLeft: this.at - 1, ArrowDown: this.at + 1, ArrowUp: this.at - 1, Home: 0, End: this.tokens.length - 1 };
    if (event.key in moves) this.focus(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") this.choose(this.at);
    else return;
    event.preventDefault();
  }
}

/** What else might have stood in a token's place. */
function alternatives(token) {
  const top = token.top ?? [];
  if (!top.length) return el("p", { class: "hint" }, "The server told no probabilities.");
  const rows = top.map(([text, logprob]) => {
    const share = Math.exp(logprob);
    const fill = el("span", { class: "fill", "aria-hidden": "true" });
    fill.style.width = `${share * 100}%`;
    return el("li", { class: text === token.text ? "this" : "" }, el("span", { class: "label" }, visible(text)), el("span", { class: "track" }, fill), el("span", { class: "score" }, percent(share, 1)));
  });
  return el("section", { class: "alternatives", "aria-label": "Other tokens in its place" }, el("h4", {}, "What might have stood here"), el("ol", { class: "bars" }, rows));
}

/** A token's text with its spaces and line ends shown. */
export function visible(text) {
  if (text === "") return "∅";
  return text.replace(/\n/g, "⏎").replace(/^ | $/g, "·");
}
