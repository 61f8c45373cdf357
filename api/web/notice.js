// What went wrong, said at the top of a page, with a way out of it.

import { byId, element } from "./dom.js";
import { sentence } from "./format.js";

const AGAIN_SECONDS = 5;

let timer = null;

export function clearNotice() {
  clearTimeout(timer);
  byId("notice").replaceChildren();
}

/**
 * Tell a Problem. What may pass is tried again by itself, and at once by the button.
 *
 * @param stale whether older content is still shown.
 */
export function showNotice(problem, { again, stale }) {
  clearTimeout(timer);
  const seconds = problem.retryAfter ?? AGAIN_SECONDS;
  const button = element("button", { class: "button", type: "button" }, "Try now");
  button.addEventListener("click", again);
  const said = [element("strong", {}, sentence(problem.message))];
  if (stale) said.push(" What is shown is what was last known.");
  if (problem.passes) {
    said.push(` Trying again every ${seconds} s.`);
    timer = setTimeout(again, seconds * 1000);
  }
  byId("notice").replaceChildren(
    element("div", { class: "notice" }, element("p", {}, ...said), problem.passes ? button : null),
  );
}

const CONNECTION = { live: "Live", reconnecting: "Connection lost, reconnecting…" };

/** Whether what is shown follows the service. */
export function showConnection(state) {
  const place = byId("connection");
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.textContent = CONNECTION[state];
}
