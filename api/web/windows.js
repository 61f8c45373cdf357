// The last hour, day and week of a store: how much was up, and how far that is to be trusted.

import { element } from "./dom.js";
import { length, percent, uptimeShare } from "./format.js";

const NAMES = { last_hour: "Last hour", last_day: "Last day", last_week: "Last week" };
const MINUTE = 60_000;

function card({ name, uptime_minutes: up, downtime_minutes: down, coverage }) {
  const share = uptimeShare(up, down);
  const shareBar = element("div", { class: "share", "aria-hidden": "true" },
    element("span", { class: "up" }), element("span", { class: "down" }));
  shareBar.children[0].style.flexGrow = up;
  shareBar.children[1].style.flexGrow = down;
  shareBar.children[1].hidden = down === 0;
  const lines = share === null
    ? [element("p", { class: "figure-line" }, element("b", { class: "none" }, "Closed")),
       element("p", { class: "muted" }, "No business hours in it")]
    : [element("p", { class: "figure-line" }, element("b", {}, percent(share)), " up"),
       shareBar,
       element("p", { class: "lengths" },
         element("span", {}, `${length(up * MINUTE)} up`),
         element("span", { class: down ? "down" : "muted" }, `${length(down * MINUTE)} down`)),
       element("p", { class: "muted", title: "Share of the business hours that a recent poll backs" },
         `Coverage ${percent(coverage)}`)];
  return element("article", { class: "card window", "data-window": name },
    element("h3", {}, NAMES[name] ?? name), ...lines);
}

export function showWindows(place, windows) {
  place.replaceChildren(...windows.map(card));
}
