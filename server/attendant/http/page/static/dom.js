// Makes elements, and says numbers the way people read them.

/** An element: attributes, `on...` listeners, `class`, `data-...`; children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

let count = 0;
/** An id that no other element has. */
export const freshId = (word) => `${word}-${count++}`;

export const NONE = "–";

/** Seconds as [number, unit]. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return [NONE, ""];
  if (seconds === 0) return ["0", "ms"];
  if (seconds < 0.001) return [short(seconds * 1e6), "µs"];
  if (seconds < 1) return [short(seconds * 1e3), "ms"];
  if (seconds < 120) return [short(seconds), "s"];
  return [short(seconds / 60), "min"];
}

export const durationText = (seconds) => duration(seconds).join(" ").trim();

/** A number with three digits at most where that says enough. */
export function short(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 9999.5) return `${short(value / 1000)}k`;
  if (value >= 100) return Math.round(value).toLocaleString("en");
  if (value >= 10) return String(Number(value.toFixed(1)));
  return String(Number(value.toPrecision(2)));
}

export function percent(share, digits = 0) {
  if (share === null || share === undefined) return NONE;
  const least = 10 ** -digits;
  return share > 0 && share * 100 < least / 2 ? `< ${least} %` : `${(share * 100).toFixed(digits)} %`;
}

/** A share of successes: never rounded up to all of them. */
export function success(share) {
  if (share === null || share === undefined) return NONE;
  if (share === 1) return "100";
  return (Math.floor(share * 1000) / 10).toFixed(1);
}

/** Sets text only where it changed, so that screen readers and selections are left in peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
