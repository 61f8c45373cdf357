// The last hour, day and week of a store: up, down, and how much of it there is no data for.

import { element } from "./dom.js";
import { length, percent, uptimeShare } from "./format.js";
import { countsAs, partsOf, shareBar } from "./shares.js";

const NAMES = { last_hour: "Last hour", last_day: "Last day", last_week: "Last week" };

function closed() {
  return [
    element("p", { class: "figure-line" }, element("b", { class: "none" }, "Closed")),
    element("p", { class: "muted" }, "No business hours in this time"),
  ];
}

function figures(window) {
  const parts = partsOf(window);
  const { up, down, noData, isKnown } = parts;
  const headline = isKnown
    ? [element("b", {}, percent(uptimeShare(window.uptime_minutes, window.downtime_minutes))), " up"]
    : [element("b", { class: "none" }, "No data")];
  const lengths = [
    element("span", { class: up ? null : "muted" }, `${length(up)} up`),
    element("span", { class: down ? "down" : "muted" }, `${length(down)} down`),
  ];
  if (noData) lengths.push(element("span", { class: "no-data" }, `${length(noData)} no data`));
  const trust = `Coverage ${percent(window.coverage)}`;
  return [
    element("p", { class: "figure-line" }, ...headline),
    shareBar(parts),
    // below the least coverage only what counts without it is left to say
    isKnown || up || down ? element("p", { class: "lengths" }, ...lengths) : null,
    element("p", { class: "muted", title: "Share of business hours that a recent poll covers" },
      noData ? `${trust} \u00b7 no data ${countsAs(parts)}` : trust),
  ];
}

function card(window) {
  const open = window.uptime_minutes + window.downtime_minutes > 0;
  return element("article", { class: "card window", "data-window": window.name },
    element("h3", {}, NAMES[window.name] ?? window.name), ...(open ? figures(window) : closed()));
}

export function showWindows(place, windows) {
  place.replaceChildren(...windows.map(card));
}
