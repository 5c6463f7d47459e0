// The boxes: a tab for each thing that each model does.
import { el, freshId } from "./dom.js";
import { answerBox, translateBox } from "./generating.js";
import { classifyBox, tagBox, maskBox, questionBox, rerankBox, embedBox } from "./texts.js";
import { imageBox, imagesBox } from "./images.js";
import { soundBox } from "./sound.js";
import { contextsBox } from "./contexts.js";

const BOXES = {
  continue: ["answer", answerBox],
  translate: ["translate", translateBox],
  speech: ["transcribe", soundBox],
  transcribe: ["transcribe", soundBox],
  classify: ["label a text", classifyBox],
  classify_tokens: ["tag a text", tagBox],
  fill_mask: ["fill a mask", maskBox],
  answer: ["find an answer", questionBox],
  rerank: ["order documents", rerankBox],
  embed: ["compare texts", embedBox],
  classify_image: ["label an image", imageBox],
  embed_image: ["compare images", imagesBox],
  contexts: ["a word in two contexts", contextsBox],
};

export class Tries {
  constructor(tabs, panels) {
    Object.assign(this, { tabs, panels, offered: null, entries: [] });
    tabs.addEventListener("keydown", (event) => this.key(event));
    panels.append(el("p", { class: "empty" }, "Nothing to try yet: no model is ready."));
  }

  show(models) {
    const ready = models.filter((model) => model.state === "ready");
    const offers = ready.flatMap((model) => tasksOf(model).map((task) => ({ model, task })));
    const offered = offers.map(({ model, task }) => `${model.name} ${model.version} ${task}`).join("\n");
    if (offered === this.offered) return;
    this.offered = offered;
    this.build(offers);
  }

  build(offers) {
    const chosen = this.chosen;
    const old = new Map(this.entries.map((entry) => [entry.key, entry]));
    this.entries = offers.map(({ model, task }) => {
      const key = `${model.name} ${model.version} ${task}`;
      return old.get(key) ?? this.entry(key, model, task);
    });
    this.tabs.replaceChildren(...this.entries.map((entry) => entry.tab));
    this.panels.replaceChildren(...this.entries.map((entry) => entry.panel));
    if (!this.entries.length) {
      this.panels.append(el("p", { class: "empty" }, "Nothing to try yet: no model is ready."));
      return;
    }
    this.choose((this.entries.find((entry) => entry.key === chosen) ?? this.entries[0]).key, false);
  }

  entry(key, model, task) {
    const [words, make] = BOXES[task];
    const id = freshId("try");
    const tab = el("button", { type: "button", role: "tab", id: `${id}-tab`, "aria-controls": id, onclick: () => this.choose(key, false) },
      el("span", { class: "what" }, words), el("span", { class: "who" }, model.name));
    const panel = el("div", { role: "tabpanel", id, "aria-labelledby": `${id}-tab`, class: "panel" },
      el("h3", {}, `${words.charAt(0).toUpperCase()}${words.slice(1)}`, el("span", { class: "with" }, ` with ${model.name}`)), make(model).node);
    return { key, tab, panel };
  }

  choose(key, focus) {
    this.chosen = key;
    for (const entry of this.entries) {
      const on = entry.key === key;
      entry.tab.setAttribute("aria-selected", String(on));
      entry.tab.tabIndex = on ? 0 : -1;
      entry.panel.hidden = !on;
      if (on && focus) entry.tab.focus();
    }
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const last = this.entries.length - 1;
    const now = this.entries.findIndex((entry) => entry.key === this.chosen);
    const next = step ? (now + step + last + 1) % (last + 1) : { Home: 0, End: last }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.choose(this.entries[next].key, true);
  }
}

function tasksOf(model) {
  const tasks = model.can.filter((task) => task in BOXES);
  if (model.compares_words) tasks.push("contexts");
  return tasks;
}
