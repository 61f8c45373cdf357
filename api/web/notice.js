// Errors at the top of a page, with a button to try again.

import { reasonOf } from "./api.js";
import { byId, element } from "./dom.js";

const AGAIN_SECONDS = 5;

let timer = null;
let problemNotice = null; // a request that failed: it is shown rather than the other
let sourceNotice = null; // a part of the service that fails

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
 * Show a Problem. If it may pass, the page tries again by itself, and at once by the button.
 *
 * @param stale whether older content is still shown.
 */
export function showNotice(problem, { again, stale }) {
  clearTimeout(timer);
  const button = element("button", { class: "button", type: "button" }, "Retry");
  button.addEventListener("click", again);
  const content = [element("strong", {}, reasonOf(problem))];
  if (stale) content.push(" The page shows the last known state.");
  if (problem.passes) {
    content.push(" Retrying.");
    timer = setTimeout(again, (problem.retryAfter ?? AGAIN_SECONDS) * 1000);
  }
  problemNotice = element("div", { class: "notice" }, element("p", {}, ...content), problem.passes ? button : null);
  draw();
}

/** Show why the service has no newer data; an equal text is not written again. */
export function showSourceNotice(text) {
  if (sourceNotice?.textContent === text) return;
  sourceNotice = element("div", { class: "notice" }, element("p", {}, text));
  draw();
}

export function clearSourceNotice() {
  sourceNotice = null;
  draw();
}
