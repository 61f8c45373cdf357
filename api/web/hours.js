// The business hours of a store, and the rules by which its figures are counted.

import { element } from "./dom.js";

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** "09:00" of "09:00:00". */
const short = (time) => time.replace(/^(\d):/, "0$1:").replace(/^(\d\d:\d\d):00(\.0*)?$/, "$1");

function spansOf(rows, number) {
  const spans = rows.filter(([dayNumber]) => dayNumber === number).map(([, start, end]) => `${short(start)}–${short(end)}`);
  return spans.sort();
}

export function showHours(place, { business_hours: rows, stale_after: stale, default_status: fallback }) {
  const status = { active: "up", inactive: "down" }[fallback] ?? fallback;
  const rules = element("p", { class: "muted note" },
    `Coverage is the share of them within ${stale} after a poll. Time before the first poll counts as ${status}.`);
  if (rows === null) {
    place.replaceChildren(element("p", {}, "Always open: no hours are known."), rules);
    return;
  }
  const lines = DAYS.map((name, number) => {
    const spans = spansOf(rows, number);
    return element("tr", {},
      element("th", { scope: "row" }, name),
      element("td", { class: spans.length ? null : "muted" }, spans.join(", ") || "closed"));
  });
  place.replaceChildren(element("table", { "aria-labelledby": "hours-title" }, element("tbody", {}, ...lines)), rules);
}
