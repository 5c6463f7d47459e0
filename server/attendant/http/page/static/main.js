// Puts the page together: what the stream says goes to the board, the charts and the boxes.
import { byId, setText } from "./dom.js";
import { listen } from "./events.js";
import { Board } from "./board.js";
import { Charts } from "./charts.js";
import { Tries } from "./tries.js";

const board = new Board(byId("board-rows"), byId("board-window"));
const charts = new Charts(byId("charts-grid"), byId("charts-legend"), byId("charts-view"), byId("charts-note"));
const tries = new Tries(byId("try-tabs"), byId("try-panels"));

function state(name, words) {
  const chip = byId("server-state");
  chip.dataset.state = name;
  setText(chip.querySelector(".words"), words);
}

function serverState(told) {
  if (told.models.length === 0) return ["loading", "Loading models"];
  if (!told.serving) return ["draining", "Not serving"];
  const failed = told.models.filter((model) => model.state === "failed").length;
  return failed ? ["failed", `Serving, ${failed} failed`] : ["ready", "Serving"];
}

listen((name, told) => {
  if (name === "lost") {
    state("failed", "Connection lost");
    board.lost();
    return;
  }
  state(...serverState(told));
  setText(byId("version"), told.version);
  board.show(told);
  tries.show(told.models);
  if (name === "history") charts.fill(told.points, told.models);
  else charts.add(told.point, told.models);
});
