// The status page: asks for its content now and then, and keeps the last one when that fails.

import { byId, element, setText, svg } from "./dom.js";
import { ago, clock, percent, plural, utc, weekdayClock } from "./format.js";
import { stateBadge } from "./states.js";

const EVERY = 30_000;
const HEIGHT = 30;

async function refresh() {
  try {
    const response = await fetch("./status.json", { headers: { Accept: "application/json" } });
    const content = await response.json();
    if (!response.ok) throw new Error(content.detail);
    show(content);
    setText(byId("notice"), "");
  } catch (problem) {
    const shown = byId("stores").childElementCount > 0;
    setText(byId("notice"), shown
      ? "What is shown is the last that we heard; trying again."
      : `The status is not known right now: ${problem.message || "no answer"}.`);
    if (!shown) setText(byId("headline"), "No status yet");
  }
  byId("main").setAttribute("aria-busy", "false");
}

function show({ title, now, counts, stores }) {
  document.title = title;
  setText(byId("title"), title);
  const instant = now === null ? null : Date.parse(now);
  setText(byId("now"), instant === null ? "" : `As of ${utc(instant)}`);
  const [state, text] = headline(counts);
  byId("headline").className = `headline ${state}`;
  setText(byId("headline"), text);
  byId("stores").replaceChildren(...stores.map((store) => row(store, instant)));
  byId("legend").hidden = !stores.some(({ days }) => days.length);
}

function headline({ up, down, unknown, closed, total }) {
  if (down) return ["down", `${plural(down, "store is", "stores are")} down`];
  if (unknown) return ["unknown", `We have not heard of ${plural(unknown, "store")} lately`];
  if (closed === total) return ["closed", "All stores are closed now"];
  return ["up", up === total ? "All stores are up" : "All stores that are open are up"];
}

function row(store, now) {
  return element("li", {},
    element("h2", {}, store.name),
    stateBadge(store.state),
    element("p", { class: "facts muted" }, facts(store, now)),
    element("p", { class: "share muted" }, share(store.uptime.last_week)),
    days(store));
}

function facts({ state, timezone, last_poll_at: polled, open_changes_at: changes }, now) {
  const told = [];
  if (timezone !== null && now !== null) told.push(`${clock(now, timezone)} there`);
  if (changes !== null) {
    const at = weekdayClock(Date.parse(changes), timezone);
    told.push(state === "closed" ? `opens ${at}` : `closes ${at}`);
  }
  told.push(polled === null ? "never heard of" : `last heard of ${ago(Date.parse(polled), now)}`);
  return told.join(" · ");
}

function share(part) {
  return part === null ? "" : `${percent(part)} up in 7 days`;
}

function days(store) {
  const list = store.days.map((day) => element("li", { title: dayText(day) },
    element("span", { class: "hidden" }, dayText(day)), picture(day)));
  return element("ul", { class: "days", "aria-label": `Last days of ${store.name}` }, ...list);
}

function dayText({ date, uptime_minutes: up, downtime_minutes: down, coverage }) {
  if (!(up + down)) return `${date}: not open`;
  const known = coverage === null || coverage > 0.5 ? "" : ", hardly any polls";
  return `${date}: ${percent(up / (up + down))} up, ${down} min down${known}`;
}

/** Up from the bottom, down above it, with stripes: colour alone tells nothing. */
function picture({ uptime_minutes: up, downtime_minutes: down }) {
  const bar = svg("svg", { viewBox: `0 0 10 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (!(up + down)) return bar;
  // what is down at all can be seen
  const height = down ? Math.max(2, (HEIGHT * down) / (up + down)) : 0;
  bar.append(svg("rect", { x: 0, y: height, width: 10, height: HEIGHT - height, class: "up" }));
  if (height) bar.append(svg("rect", { x: 0, y: 0, width: 10, height, class: "down" }));
  for (let y = 4; y < height; y += 5) {
    bar.append(svg("line", { x1: 0, x2: 10, y1: y, y2: y - 3, class: "stroke" }));
  }
  return bar;
}

refresh();
setInterval(() => { if (!document.hidden) refresh(); }, EVERY);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
