// The status board: one line for each model, in figures that can be read from across a room.
import { duration, el, NONE, setText, short, success } from "./dom.js";

const STATES = { ready: "Ready", loading: "Loading", draining: "Draining", failed: "Failed" };
const DOES = {
  generate: "generates", continue: null, attention: null, translate: "translates", speech: "transcribes", classify: "classifies",
  classify_tokens: "tags", answer: "finds answers", embed: "embeds", rerank: "reranks", fill_mask: "fills masks",
  classify_image: "labels images", embed_image: "embeds images", classify_audio: "labels sounds", transcribe: "transcribes",
};

/** What a model does, in words. */
export function does(model) {
  const words = model.can.map((name) => (name in DOES ? DOES[name] : name)).filter(Boolean);
  const particular = words.filter((word) => word !== "generates");
  return (particular.length ? particular : words).join(", ");
}

export class Board {
  constructor(home, window) {
    this.home = home;
    this.window = window;
    this.lines = new Map();
    this.home.append(el("p", { class: "empty" }, "Waiting for the server."));
  }

  lost() {
    this.home.classList.add("stale");
    setText(this.window, "These figures are old: the server does not answer.");
  }

  show({ models, board }) {
    this.home.classList.remove("stale");
    const names = models.map((model) => model.name).join("\n");
    if (names !== this.names) this.build(models, names);
    for (const model of models) this.lines.get(model.name)?.(model, board.models[model.name]);
    setText(this.window, models.length ? `Figures of ${span(board.window_s)}.` : "");
  }

  build(models, names) {
    this.names = names;
    this.lines.clear();
    if (!models.length) {
      this.home.replaceChildren(el("p", { class: "empty" }, "The models are being loaded. They appear here as soon as the server takes calls."));
      return;
    }
    const heads = ["Model", "State", "First token", "Output speed", "Answered", "Requests"];
    const body = el("tbody");
    for (const model of models) body.append(this.line(model));
    this.home.replaceChildren(el("table", { class: "board" },
      el("caption", { class: "hidden" }, "Models, their state and their figures"),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), body));
  }

  line(model) {
    const state = el("span", { class: "chip big" }, el("span", { class: "mark", "aria-hidden": "true" }), el("span", { class: "words" }));
    const cause = el("p", { class: "cause", hidden: true });
    const cells = ["First token", "Output speed", "Answered", "Requests"].map(figureCell);
    const about = [does(model), model.architecture, model.precision].filter(Boolean).join(" · ");
    const row = el("tr", {},
      el("th", { scope: "row" }, el("span", { class: "name" }, model.name), el("span", { class: "about" }, about), cause),
      el("td", { class: "state" }, state),
      cells.map((cell) => cell.node));
    this.lines.set(model.name, (now, figures) => {
      row.dataset.state = state.dataset.state = now.state;
      setText(state.querySelector(".words"), STATES[now.state] ?? now.state);
      cause.hidden = !now.cause;
      setText(cause, now.cause ?? "");
      fill(cells, figures);
    });
    return row;
  }
}

function figureCell(label) {
  const number = el("span", { class: "number" });
  const unit = el("span", { class: "unit" });
  const note = el("span", { class: "sub" });
  const node = el("td", { class: "figure", "data-label": label }, el("span", { class: "value" }, number, " ", unit), note);
  return {
    node,
    set(value, unitText, noteText, grade = "") {
      setText(number, value);
      setText(unit, value === NONE ? "" : unitText);
      setText(note, noteText);
      node.dataset.grade = value === NONE ? "none" : grade;
    },
  };
}

function fill([first, speed, answered, requests], figures) {
  if (!figures) {
    for (const cell of [first, speed, answered, requests]) cell.set(NONE, "", "");
    return;
  }
  const encodes = figures.kind === "encode";
  const [wait, unit] = duration(figures.first_s);
  const kept = figures.kept === null ? "" : `${success(figures.kept)} % in time`;
  const slow = figures.first_s === null ? "" : figures.first_s < 1 ? "good" : figures.first_s < 3 ? "fair" : "poor";
  first.set(wait, unit, [encodes ? "answer, p50" : "p50", word(slow), kept].filter(Boolean).join(" · "), slow);
  const pace = figures.speed === null || encodes ? "" : figures.speed >= 20 ? "good" : figures.speed >= 10 ? "fair" : "poor";
  speed.set(short(figures.speed), encodes ? "/s" : "tok/s", [encodes ? "inputs" : "each answer", word(pace)].filter(Boolean).join(" · "), pace);
  const share = figures.success;
  const well = share === null ? "" : share >= 0.99 ? "good" : share >= 0.95 ? "fair" : "poor";
  const refused = figures.refused ? `${short(figures.refused)} refused` : share === null ? "no requests" : "of requests";
  answered.set(success(share), "%", [refused, word(well)].filter(Boolean).join(" · "), well);
  const now = figures.running || figures.waiting ? `${figures.running} running, ${figures.waiting} waiting` : "idle now";
  requests.set(short(figures.per_minute), "/min", now);
}

// A word beside the colour: what is good needs none.
const word = (grade) => ({ fair: "slow", poor: "bad" })[grade] ?? "";

function span(seconds) {
  if (seconds < 90) return `the last ${Math.max(1, Math.round(seconds))} seconds`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `the last ${minutes} minutes` : `the last ${Math.round(minutes / 60)} hours`;
}
