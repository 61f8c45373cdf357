// Server-sent events with what a page must know about the connection.

/** When to ask again after a server has refused to send events. */
const AGAIN_MILLISECONDS = 5000;

export const isSeen = () => document.visibilityState !== "hidden";

/**
 * Listen while the page is seen. A hidden page lets go of its connection: browsers keep few to
 * one server, and a dozen forgotten tabs would take them all.
 *
 * @param path where the events come from.
 * @param name of the events that count.
 * @param onEvent gets the data of each, and whether it is the first of a connection.
 * @param onState gets "live" or "reconnecting".
 * @param onRefused is called when the server sends none and another try is about to be made:
 *   the page fetches by itself meanwhile.
 */
export function listen({ path, name, onEvent, onState, onRefused }) {
  let source = null;
  let timer = null;

  function close() {
    source?.close();
    source = null;
    clearTimeout(timer);
  }

  function open() {
    close();
    let first = true;
    source = new EventSource(path);
    source.addEventListener(name, (event) => {
      onState("live");
      onEvent(JSON.parse(event.data), first);
      first = false;
    });
    source.addEventListener("error", () => {
      onState("reconnecting");
      first = true;
      // the browser connects again by itself unless the server has answered with an error
      if (source?.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(() => {
        onRefused();
        open();
      }, AGAIN_MILLISECONDS);
    });
  }

  const follow = () => (isSeen() ? open() : close());
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && follow());
  follow();
}
