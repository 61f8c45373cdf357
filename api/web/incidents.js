// The incidents of a store, newest first.

import { element } from "./dom.js";
import { clock, day, dayClock, length } from "./format.js";
import { stateIcon } from "./states.js";

const CAUSES = {
  reported: "Reported inactive",
  silence: "No polls",
};

const HEAD = ["Start", "End", "Downtime", "Cause"];

function endOf({ start, end, ongoing }, zone) {
  if (ongoing) return element("span", { class: "state down" }, stateIcon("down"), "Ongoing");
  const [from, to] = [Date.parse(start), Date.parse(end)];
  return day(from, zone) === day(to, zone) ? clock(to, zone) : dayClock(to, zone);
}

function startOf({ start, began_earlier: earlier }, zone) {
  const text = dayClock(Date.parse(start), zone);
  return earlier ? `${text} or earlier` : text;
}

function line(incident, zone) {
  const cells = [
    endOf(incident, zone),
    length(incident.downtime_seconds * 1000),
    CAUSES[incident.cause] ?? incident.cause,
  ];
  return element("tr", { role: "row", class: incident.ongoing ? "ongoing" : null },
    element("th", { role: "rowheader", scope: "row" }, startOf(incident, zone)),
    ...cells.map((content, index) => element("td", { role: "cell", "data-label": HEAD[index + 1] }, content)));
}

/** @param onOlder is called by the button for more, which is there where `more` is true. */
export function showIncidents(place, { incidents, zone, more, onOlder }) {
  if (!incidents.length) {
    place.replaceChildren(element("p", { class: "empty" }, "No incident: nothing was down in business hours."));
    return;
  }
  const head = HEAD.map((text) => element("th", { role: "columnheader", scope: "col" }, text));
  const table = element("table", { class: "incidents", role: "table", "aria-labelledby": "incidents-title" },
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...incidents.map((incident) => line(incident, zone))));
  place.replaceChildren(table);
  if (!more) return;
  const button = element("button", { type: "button", class: "button older" }, "Show older");
  button.addEventListener("click", onOlder);
  place.append(button);
}
