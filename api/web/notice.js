// What went wrong, said at the top of a page, with a way out of it.

import { reasonOf } from "./api.js";
import { byId, element } from "./dom.js";

const AGAIN_SECONDS = 5;

let timer = null;
let problemNotice = null; // an answer that did not come: it goes first
let sourceNotice = null; // the service's own trouble

function draw() {
  const notice = problemNotice ?? sourceNotice;
  const place = byId("notice");
  if (place.firstElementChild === notice) return;
  place.replaceChildren(...(notice ? [notice] : []));
}

export function clearNotice() {
  clearTimeout(timer);
  problemNotice = null;
  draw();
}

/**
 * Tell a Problem. What may pass is tried again by itself, and at once by the button.
 *
 * @param stale whether older content is still shown.
 */
export function showNotice(problem, { again, stale }) {
  clearTimeout(timer);
  const button = element("button", { class: "button", type: "button" }, "Retry");
  button.addEventListener("click", again);
  const said = [element("strong", {}, reasonOf(problem))];
  if (stale) said.push(" What is shown is what was last known.");
  if (problem.passes) {
    said.push(" Retrying.");
    timer = setTimeout(again, (problem.retryAfter ?? AGAIN_SECONDS) * 1000);
  }
  problemNotice = element("div", { class: "notice" }, element("p", {}, ...said), problem.passes ? button : null);
  draw();
}

/** Tell what keeps the service from showing newer data; only a new text is said again. */
export function showSourceNotice(text) {
  if (sourceNotice?.textContent === text) return;
  sourceNotice = element("div", { class: "notice" }, element("p", {}, text));
  draw();
}

export function clearSourceNotice() {
  sourceNotice = null;
  draw();
}
