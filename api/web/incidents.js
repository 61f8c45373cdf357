// The incidents of a store, newest first.

import { element } from "./dom.js";
import { clock, day, dayClock, length } from "./format.js";
import { stateIcon } from "./states.js";

const HEAD = ["Start", "End", "Downtime", "Cause"];

/** Whether polls say nothing of it: it counts as down, and nobody knows whether it was. */
const isSilent = ({ cause, downtime_seconds: down, unknown_downtime_seconds: unknown = 0 }) =>
  cause === "silence" || unknown >= down;

function badge(incident, text) {
  const state = isSilent(incident) ? "unknown" : "down";
  return element("span", { class: `state ${state}` }, stateIcon(state), text);
}

function endOf(incident, local) {
  if (incident.ongoing) return badge(incident, "Ongoing");
  const [from, to] = [Date.parse(incident.start), Date.parse(incident.end)];
  return day(from, local) === day(to, local) ? clock(to, local) : dayClock(to, local);
}

function startOf({ start, began_earlier: earlier }, local) {
  const text = dayClock(Date.parse(start), local);
  return earlier ? `${text} or earlier` : text;
}

/** Counted down; the part that no poll covers is named too. */
function downtimeOf(incident) {
  const { downtime_seconds: down, unknown_downtime_seconds: unknown = 0 } = incident;
  const text = length(1000 * down);
  return unknown > 0 && unknown < down ? `${text} (${length(1000 * unknown)} no data)` : text;
}

function line(incident, local) {
  const cause = badge(incident, isSilent(incident) ? "No data" : "Reported down");
  const cells = [endOf(incident, local), downtimeOf(incident), cause];
  return element("tr", { role: "row", class: incident.ongoing ? "ongoing" : null },
    element("th", { role: "rowheader", scope: "row" }, startOf(incident, local)),
    ...cells.map((content, index) => element("td", { role: "cell", "data-label": HEAD[index + 1] }, content)));
}

/** @param onEarlier is called by the button for more, which is there where `more` is true. */
export function showIncidents(place, { incidents, local, more, onEarlier }) {
  if (!incidents.length) {
    place.replaceChildren(element("p", { class: "empty" }, "No incidents during business hours"));
    return;
  }
  const head = HEAD.map((text) => element("th", { role: "columnheader", scope: "col" }, text));
  const table = element("table", { class: "incidents", role: "table", "aria-labelledby": "incidents-title" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...incidents.map((incident) => line(incident, local))));
  place.replaceChildren(table);
  if (!more) return;
  const button = element("button", { type: "button", class: "button earlier" }, "Show earlier");
  button.addEventListener("click", onEarlier);
  place.append(button);
}
