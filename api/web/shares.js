// Open time in three parts: up and down as polls report them, and time without data. The figures of
// a report count time without data as up or as down; here it is a part of its own.

import { element } from "./dom.js";
import { length } from "./format.js";

const MINUTE = 60_000;

/** Below this coverage a time has no data. */
const MIN_COVERAGE = 0.01;

/** The parts of a window or a day of the API, in milliseconds. */
export function partsOf({
  uptime_minutes: up,
  downtime_minutes: down,
  unknown_uptime_minutes: unknownUp = 0,
  unknown_downtime_minutes: unknownDown = 0,
  coverage = null,
}) {
  const noData = MINUTE * (unknownUp + unknownDown);
  return {
    up: MINUTE * (up - unknownUp),
    down: MINUTE * (down - unknownDown),
    noData,
    countedUp: MINUTE * unknownUp,
    countedDown: MINUTE * unknownDown,
    open: MINUTE * (up + down),
    isKnown: coverage === null ? noData < MINUTE * (up + down) : coverage >= MIN_COVERAGE,
  };
}

/** "counts as 168 h down": how the figures count the time without data. */
export function countsAs({ countedUp, countedDown }) {
  const amounts = [];
  if (countedUp) amounts.push(`${length(countedUp)} up`);
  if (countedDown) amounts.push(`${length(countedDown)} down`);
  return `counts as ${amounts.join(" and ")}`;
}

/** A bar of the three parts; each has a look of its own, and the words stand beside it. */
export function shareBar({ up, down, noData }) {
  const parts = [["up", up], ["down", down], ["no-data", noData]].filter(([, amount]) => amount > 0);
  const spans = parts.map(([name, amount]) => {
    const span = element("span", { class: name });
    span.style.flexGrow = amount;
    return span;
  });
  return element("div", { class: "share", "aria-hidden": "true" }, ...spans);
}
