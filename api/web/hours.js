// The business hours of a store, and the rules by which its figures are counted.

import { element } from "./dom.js";
import { plural } from "./format.js";

const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** "09:00" of "09:00:00". */
const short = (time) => time.replace(/^(\d):/, "0$1:").replace(/^(\d\d:\d\d):00(\.0*)?$/, "$1");

const UNITS = { s: "second", m: "minute", h: "hour", d: "day" };

/** "2 hours" of "2h". */
function timeOf(duration) {
  const [, amount, unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  return unit ? plural(Number(amount), UNITS[unit]) : duration;
}

function spansOf(rows, number) {
  const spans = rows.filter(([dayNumber]) => dayNumber === number).map(([, start, end]) => `${short(start)}–${short(end)}`);
  return spans.sort();
}

export function showHours(place, { business_hours: rows, stale_after: stale, default_status: fallback }) {
  const status = { active: "up", inactive: "down" }[fallback] ?? fallback;
  const rules = element("p", { class: "muted note" },
    `Coverage: share of business hours with a poll in the last ${timeOf(stale)}. Time before the first poll counts as ${status}.`);
  if (rows === null) {
    place.replaceChildren(element("p", {}, "Open 24/7: no business hours on record."), rules);
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
