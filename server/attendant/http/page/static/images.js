// Boxes of models that see.
import { Box, bars, field } from "./box.js";
import { base64, call } from "./calls.js";
import { el } from "./dom.js";
import { stepsOf } from "./steps.js";
import { ImageLook } from "./look.js";
import { matrix } from "./texts.js";

const SHAPES = ["circle", "ring", "triangle", "square", "star", "cross"];

/** A picture of a shape, so that there is something to try. */
async function drawn() {
  const size = 192;
  const canvas = el("canvas", { width: size, height: size });
  const pen = canvas.getContext("2d");
  const shape = SHAPES[Math.floor(Math.random() * SHAPES.length)];
  pen.fillStyle = `hsl(${Math.floor(Math.random() * 360)} 30% 88%)`;
  pen.fillRect(0, 0, size, size);
  pen.fillStyle = pen.strokeStyle = `hsl(${Math.floor(Math.random() * 360)} 70% 38%)`;
  pen.lineWidth = 18;
  pen.translate(size / 2 + Math.random() * 20 - 10, size / 2 + Math.random() * 20 - 10);
  pen.beginPath();
  const corners = { triangle: 3, square: 4, star: 10 }[shape];
  if (shape === "cross") { pen.rect(-60, -12, 120, 24); pen.rect(-12, -60, 24, 120); }
  else if (!corners) pen.arc(0, 0, 55, 0, 7);
  else for (let i = 0; i < corners; i++) {
    const angle = (i / corners) * 2 * Math.PI - Math.PI / (shape === "square" ? 4 : 2);
    const radius = shape === "star" && i % 2 ? 28 : 66;
    pen.lineTo(radius * Math.cos(angle), radius * Math.sin(angle));
  }
  pen.closePath();
  if (shape === "ring") pen.stroke(); else pen.fill();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], `${shape}.png`, { type: "image/png" });
}

function chooser(label, multiple) {
  const [node, input] = field(label, el("input", { type: "file", accept: "image/*", multiple }), "Or let the page draw a shape.");
  const shown = el("div", { class: "preview" });
  const chosen = { files: [], urls: [] };
  const take = (files) => {
    chosen.urls.forEach((url) => URL.revokeObjectURL(url));
    chosen.files = multiple ? [...chosen.files, ...files] : [...files];
    chosen.urls = chosen.files.map((file) => URL.createObjectURL(file));
    shown.replaceChildren(...chosen.urls.map((url, index) => el("img", { src: url, alt: chosen.files[index].name })));
  };
  input.addEventListener("change", () => take(input.files));
  const draw = el("button", { type: "button", class: "quiet", onclick: async () => take([await drawn()]) }, "Draw a shape");
  return { fields: [node, draw, shown], input, chosen };
}

export function imageBox(model) {
  const { fields, input, chosen } = chooser("Image file", false);
  return new Box({
    label: "Label", fields, named: { image: input, images: input },
    run: async (box) => {
      if (!chosen.files.length) {
        box.done = "Choose an image first, or let the page draw a shape.";
        return;
      }
      const image = await base64(chosen.files[0]);
      const told = await call("classify_image", { model: model.name, image }, box.signal);
      box.result.append(bars(told.labels), stepsOf(told.steps));
      if (model.looks) box.result.append(new ImageLook(model, { image }, chosen.urls[0]).node);
    },
  });
}

export function imagesBox(model) {
  const { fields, input, chosen } = chooser("Image files", true);
  return new Box({
    label: "Compare", fields, named: { images: input },
    run: async (box) => {
      const images = await Promise.all(chosen.files.map(base64));
      const told = await call("embed_image", { model: model.name, images }, box.signal);
      box.result.append(matrix(chosen.files.map((file) => file.name), told.cosines), stepsOf(told.steps));
    },
  });
}
