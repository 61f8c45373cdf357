// Ask for a report, follow how far it is, offer its CSV.

import { getJson, problemOf, request } from "./api.js";
import { element } from "./dom.js";

const AGAIN_SECONDS = 1;

/**
 * @param place to fill with the button and what becomes of the report.
 * @param trigger the path to POST to.
 * @param label of the button.
 */
export function reportControl(place, { trigger, label }) {
  const start = element("button", { class: "button", type: "button" }, label);
  const status = element("div", { class: "report-status", role: "status" });
  place.replaceChildren(start, status);

  let running = false;
  start.addEventListener("click", () => {
    // not `disabled`: the focus would be lost
    if (!running) run();
  });

  async function run() {
    busy(true);
    showProgress({});
    try {
      const { report_id: id } = await getJson(trigger, { method: "POST" });
      follow(id);
    } catch (problem) {
      showFailure(problem.message);
    }
  }

  function follow(id) {
    const source = new EventSource(`/reports/${id}/events`);
    source.addEventListener("report", (event) => {
      if (settled(id, JSON.parse(event.data))) source.close();
    });
    source.addEventListener("error", () => {
      // whatever became of the connection: asking again and again always works
      source.close();
      poll(id);
    });
  }

  async function poll(id) {
    let wait = AGAIN_SECONDS;
    try {
      const response = await request(`/get_report/${id}`);
      if (response.status === 200) {
        response.body.cancel(); // the download link fetches it
        return showComplete(id);
      }
      if (response.status === 202) showProgress(await response.json());
      else {
        const problem = await problemOf(response);
        if (!problem.passes) return showFailure(problem.message);
        wait = problem.retryAfter ?? wait;
      }
    } catch {
      // no answer: the next try tells
    }
    setTimeout(() => poll(id), wait * 1000);
  }

  function settled(id, { status: state, reason, ...progress }) {
    if (state === "complete") showComplete(id);
    else if (state === "failed") showFailure(reason);
    else showProgress(progress);
    return state !== "running";
  }

  function busy(value) {
    running = value;
    start.setAttribute("aria-disabled", value);
  }

  function showProgress({ parts_done: done, parts }) {
    const bar = element("progress", { "aria-label": "Report", max: parts ?? 1, value: done });
    const text = parts ? `${done} of ${parts} parts` : "Running…";
    status.replaceChildren(bar, element("span", {}, text));
  }

  function showComplete(id) {
    busy(false);
    const link = { class: "button primary", href: `/get_report/${id}`, download: true };
    status.replaceChildren(element("span", {}, "Report ready"), element("a", link, "Download CSV"));
  }

  function showFailure(reason) {
    busy(false);
    status.replaceChildren(element("span", { class: "failure" }, `No report: ${reason}`));
  }
}
