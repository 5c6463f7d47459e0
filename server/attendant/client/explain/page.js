"use strict";
// Draws each attention view: choose who looks, a layer and a head; see what was looked at.
const all = JSON.parse(document.getElementById("values").textContent);
for (const place of document.querySelectorAll(".attention")) show(place, all[place.dataset.view], place.dataset.view);

function show(place, view, id) {
  const packed = Uint8Array.from(atob(view.weights), (letter) => letter.charCodeAt(0));
  const numbers = new DataView(packed.buffer);
  const count = view.keys.length;
  const weights = (panel, row) => Array.from({length: count},
    (_, key) => numbers.getUint16(2 * ((panel * view.rows.length + row) * count + key), true) / 65535);
  const layers = [...new Set(view.panels.map((panel) => panel.layer))];
  const state = {row: -1, panel: 0};

  const rowBox = element(place, "div", {className: "rows", role: "group"});
  rowBox.setAttribute("aria-label", `Choose a ${view.row}`);
  const rows = [["all together", -1], ...view.rows.map((name, row) => [name, row])].map(([name, row]) => {
    const button = element(rowBox, "button", {type: "button", textContent: name});
    button.setAttribute("aria-label", row < 0 ? `mean of every ${view.row}` : `${view.row}: ${name}`);
    button.onclick = () => { state.row = row; draw(); };
    return [button, row];
  });
  if (view.rows.length < 2) { rowBox.hidden = true; state.row = 0; }

  const controls = element(place, "div", {className: "controls"});
  if (layers.length > 1) {
    const label = element(controls, "label", {textContent: "Layer "});
    const slider = element(label, "input", {type: "range", min: 0, max: layers.length - 1, value: 0, id: `layer${id}`});
    slider.oninput = () => {
      const head = view.panels[state.panel].head;
      const of = view.panels.findIndex((each) => each.layer === layers[slider.value] && each.head === head);
      state.panel = of;
      draw();
    };
  }
  const name = element(controls, "strong", {});
  const main = element(place, "div", {});
  const spoken = element(place, "p", {className: "note"});
  spoken.setAttribute("role", "status");
  const smallTitle = element(place, "h3", {});
  const small = element(place, "div", {className: "small"});

  function row(panel) {
    if (state.row >= 0) return weights(panel, state.row);
    const sum = new Array(count).fill(0);
    for (let each = 0; each < view.rows.length; each++) weights(panel, each).forEach((w, key) => { sum[key] += w; });
    return sum.map((w) => w / view.rows.length);
  }

  function draw() {
    rows.forEach(([button, number]) => button.setAttribute("aria-pressed", String(number === state.row)));
    const panel = view.panels[state.panel];
    const values = row(state.panel);
    const top = Math.max(...values, 1e-9);
    name.textContent = panel.title;
    main.replaceChildren();
    if (view.grid) patches(main, view, values);
    else if (view.frame) { const strip = element(main, "div", {className: "strip"}); bars(strip, values, top, view); }
    else text(main, view.pieces, values, top);
    const order = values.map((_, key) => key).filter((key) => values[key] > 0).sort((a, b) => values[b] - values[a]);
    spoken.textContent = "Most: " + order.slice(0, 5).map((key) => `${view.keys[key]} ${percent(values[key])}`).join(", ");
    const mates = view.panels.map((each, number) => [each, number]).filter(([each]) =>
      panel.head === null ? true : each.layer === panel.layer);
    small.replaceChildren();
    smallTitle.textContent = mates.length < 2 ? "" : panel.head === null ? "All layers" : `Heads of layer ${panel.layer}`;
    smallTitle.hidden = mates.length < 2;
    if (mates.length > 1) mates.forEach(([each, number]) => {
      const button = element(small, "button", {type: "button", textContent: panel.head === null ? `layer ${each.layer}` : `head ${each.head}`});
      button.setAttribute("aria-pressed", String(number === state.panel));
      const those = row(number);
      bars(button, those, Math.max(...those, 1e-9), view);
      button.onclick = () => {
        state.panel = number;
        const slider = place.querySelector("input[type=range]");
        if (slider) slider.value = layers.indexOf(each.layer);
        draw();
        small.children[mates.findIndex(([, other]) => other === number)].focus();
      };
    });
  }
  draw();
}

function text(place, pieces, values, top) {
  const paragraph = element(place, "p", {className: "text"});
  for (const [piece, key] of pieces) {
    if (key === null) { paragraph.append(piece); continue; }
    const mark = element(paragraph, "mark", {textContent: piece, title: percent(values[key])});
    mark.style.background = `color-mix(in oklab, var(--most) ${(100 * values[key] / top).toFixed(1)}%, var(--none))`;
  }
}

function bars(place, values, top, {frame, heard}) {
  const last = frame ? heard : values.length;
  const svg = place.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
  svg.setAttribute("viewBox", `0 0 ${last} 100`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  values.slice(0, last).forEach((w, key) => {
    if (w < .005 * top) return;
    const bar = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "rect"));
    const height = 100 * w / top;
    for (const [name, value] of Object.entries({x: key, y: 100 - height, width: .92, height})) bar.setAttribute(name, value);
  });
  if (frame) element(place, "span", {className: "note", textContent: `0 to ${(last * frame).toFixed(1)} s`});
}

function patches(place, view, values) {
  const [rows, columns, prefix] = view.grid;
  const shares = values.slice(prefix);
  const sum = shares.reduce((a, b) => a + b, 0) || 1, top = Math.max(...shares, 1e-9);
  const box = element(place, "div", {className: "picture"});
  element(box, "img", {src: view.image, alt: "the picture"});
  const list = element(box, "ol", {});
  list.style.gridTemplate = `repeat(${rows}, 1fr) / repeat(${columns}, 1fr)`;
  shares.forEach((w, patch) => {
    const item = element(list, "li", {});
    item.style.background = `rgb(235 235 240 / ${(.88 * (1 - w / top)).toFixed(3)})`;
    if (rows <= 8 && columns <= 8) element(item, "span", {textContent: Math.round(100 * w / sum)});
    item.title = `${view.keys[patch + prefix]}: ${percent(w / sum)}`;
  });
}

function element(place, tag, values) {
  return place.appendChild(Object.assign(document.createElement(tag), values));
}

function percent(weight) {
  return weight > 0 && weight < .005 ? "<1 %" : `${Math.round(100 * weight)} %`;
}
