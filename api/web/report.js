// Requests a report, shows its progress, and offers its CSV.

import { getJson, problemOf, reasonOf, request } from "./api.js";
import { element } from "./dom.js";
import { sentence } from "./format.js";

const AGAIN_SECONDS = 1;

/** Additional columns of the file, so that it can be understood without this page. */
const COLUMNS = "reference_time,coverage,unknown";

/**
 * @param place to fill with the button and the state of the report.
 * @param trigger the path to POST to.
 */
export function reportControl(place, { trigger }) {
  const start = element("button", { class: "button", type: "button" }, "Create report");
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
      if (problem.status === undefined) throw problem;
      showFailure(reasonOf(problem), { retrying: problem.passes });
      if (problem.passes) setTimeout(run, (problem.retryAfter ?? AGAIN_SECONDS) * 1000);
    }
  }

  function follow(id) {
    const source = new EventSource(`/reports/${id}/events`);
    source.addEventListener("report", (event) => {
      if (settled(id, JSON.parse(event.data))) source.close();
    });
    source.addEventListener("error", () => {
      // polling works with any connection
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
        if (!problem.passes) return showFailure(reasonOf(problem));
        wait = problem.retryAfter ?? wait;
      }
    } catch {
      // no answer: the next try follows
    }
    setTimeout(() => poll(id), wait * 1000);
  }

  function settled(id, { status: state, reason, ...progress }) {
    if (state === "complete") showComplete(id);
    else if (state === "failed") showFailure(sentence(reason));
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
    const link = { class: "button primary", href: `/get_report/${id}?columns=${COLUMNS}`, download: true };
    status.replaceChildren(element("span", {}, "Report ready"), element("a", link, "Download CSV"));
  }

  /** @param retrying by itself: the button stays busy. */
  function showFailure(reason, { retrying = false } = {}) {
    busy(retrying);
    const why = reason.charAt(0).toLowerCase() + reason.slice(1);
    const text = `The report could not be created: ${why}${retrying ? " Retrying." : ""}`;
    status.replaceChildren(element("span", { class: "failure" }, text));
  }
}
