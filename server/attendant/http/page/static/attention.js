// Asks what a model looked at, and does the arithmetic on the weights that come back.
import { call, lines } from "./calls.js";

/** Weights of one call: `header`, and by layer (null: one piece of all of them) `heads` and rows of `weights`. */
export async function attention(body, signal) {
  let header = null;
  let end = null;
  const layers = [];
  for await (const line of lines("attention", body, signal)) {
    if (line.header) header = line.header;
    else if (line.end) end = line.end;
    else layers.push({ layer: line.layer, shape: line.shape, weights: floats(line.weights) });
  }
  return { header, layers, end };
}

export const attribute = (body, signal) => call("attribute", body, signal);

function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** The row of one query of one head: a weight for each key. */
export function rowOf({ shape: [, queries, keys], weights }, head, query) {
  const start = (head * queries + query) * keys;
  return weights.subarray(start, start + keys);
}

/** The mean of rows, number by number; or with `most` the largest. */
export function reduced(rows, most = false) {
  const out = new Float32Array(rows[0].length);
  for (const row of rows) row.forEach((value, index) => { out[index] = most ? Math.max(out[index], value) : out[index] + value / rows.length; });
  return out;
}

/** A row without its first token, the others summing up to what they share. */
export function withoutSink(row) {
  const rest = row.reduce((sum, value) => sum + value, 0) - row[0];
  return row.map((value, index) => (index === 0 ? 0 : rest > 1e-9 ? value / rest : 0));
}

/** Places of the largest values, largest first. */
export function largest(row, count) {
  return [...row.keys()].filter((index) => row[index] > 0).sort((one, other) => row[other] - row[one]).slice(0, count);
}
