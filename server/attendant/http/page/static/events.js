// Listens to the server: one stream, which the browser opens again by itself when it breaks.

/** `told(name, data)` hears `history`, `snapshot`, and `lost` while there is no connection. */
export function listen(told) {
  let source = null;
  let retry = null;

  function open() {
    retry = null;
    source = new EventSource("/page/events");
    for (const name of ["history", "snapshot"]) {
      source.addEventListener(name, (event) => told(name, JSON.parse(event.data)));
    }
    source.addEventListener("error", () => {
      told("lost", null);
      if (source.readyState === EventSource.CLOSED && retry === null) retry = setTimeout(open, 3000);
    });
  }
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
}
