// Server-sent events, with the state of their connection.

/** The wait before the next try, after a server has refused to send events. */
const RETRY_MILLISECONDS = 5000;

/** The server sends an event every five seconds: after this silence the connection is lost. */
const SILENT_MILLISECONDS = 12_000;

export const isSeen = () => document.visibilityState !== "hidden";

/**
 * Listen while the page is visible. A hidden page closes its connection: browsers open only a few
 * to one server, and forgotten tabs would use them all.
 *
 * @param path where the events come from.
 * @param name of the events that count.
 * @param onEvent gets the data of each, and whether it is the first of a connection.
 * @param onState gets "live" or "lost".
 * @param onRefused is called when the server sends none and another try is about to be made:
 *   the page fetches by itself meanwhile.
 */
export function listen({ path, name, onEvent, onState, onRefused }) {
  let source = null;
  let timer = null;
  let silence = null;

  function close() {
    source?.close();
    source = null;
    clearTimeout(timer);
    clearTimeout(silence);
  }

  function expectMore() {
    clearTimeout(silence);
    silence = setTimeout(() => {
      onState("lost");
      open();
    }, SILENT_MILLISECONDS);
  }

  function open() {
    close();
    let first = true;
    source = new EventSource(path);
    expectMore();
    source.addEventListener(name, (event) => {
      expectMore();
      onState("live");
      onEvent(JSON.parse(event.data), first);
      first = false;
    });
    source.addEventListener("error", () => {
      onState("lost");
      first = true;
      // the browser connects again by itself unless the server has answered with an error
      if (source?.readyState !== EventSource.CLOSED) return;
      clearTimeout(silence);
      timer = setTimeout(() => {
        onRefused();
        open();
      }, RETRY_MILLISECONDS);
    });
  }

  const follow = () => (isSeen() ? open() : close());
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && follow());
  follow();
}
