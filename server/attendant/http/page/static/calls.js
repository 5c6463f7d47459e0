// Asks the server to run a model: one answer, or lines as they are made. Errors are words and the field they are about.

export class CallError extends Error {
  constructor(body, status) {
    super(body.error ?? `the server answered ${status}`);
    this.field = body.field ?? null;
    this.status = status;
  }
}

async function ask(name, body, signal) {
  let response;
  try {
    response = await fetch(`/page/${name}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new CallError({ error: "the server cannot be reached" }, 0);
  }
  if (!response.ok) throw new CallError(await response.json().catch(() => ({})), response.status);
  return response;
}

/** The answer of a call. */
export async function call(name, body, signal) {
  return (await ask(name, body, signal)).json();
}

/** The lines of a call, each as soon as it is there. */
export async function* lines(name, body, signal) {
  const response = await ask(name, body, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      const line = JSON.parse(part);
      if (line.error) throw new CallError(line, response.status);
      yield line;
    }
  }
}

/** A file's bytes as base64. */
export async function base64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}
