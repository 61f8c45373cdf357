// The status page: fetches its content every 30 seconds and shows it. It shares no file with the
// other pages and has no links, because it is served alone on its own port.

const REFRESH_MILLISECONDS = 30_000;
const MINUTE = 60_000;
const HEIGHT = 32;
const BAR = 12;
const GAP = 4;
const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);

function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// never markup in strings: nothing that a server says is read as HTML
const element = (name, attributes = {}, ...children) => make(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => make(document.createElementNS(SVG, name), attributes, children);

// --- words

const STATES = { up: "Up", down: "Down", unknown: "Unknown", closed: "Closed" };

function headlineOf({ up, down, unknown, closed, total }) {
  if (total === 0) return ["closed", "No stores are shown here"];
  if (down > 0) return ["down", down === 1 ? "1 store is down" : `${down} stores are down`];
  if (unknown > 0) return ["unknown", `No data from ${unknown === 1 ? "1 store" : `${unknown} stores`}`];
  if (up > 0) return ["up", "All stores that are open are up"];
  return ["closed", closed === 1 ? "The store is closed now" : "All stores are closed now"];
}

/** The server sends local times, so that the browser's timezone table does not matter. */
const format = (options, at) => new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: "UTC" }).format(at);

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DAY = 24 * 60 * MINUTE;
const HALF_A_DAY = DAY / 2;

function utc(at) {
  const date = format({ day: "numeric", month: "short", year: "numeric" }, at);
  return `${date}, ${format(CLOCK, at)} UTC`;
}

/** "11:48 UTC", or with the date where that is another one. */
const since = (at, now) => (now - at < HALF_A_DAY ? `${format(CLOCK, at)} UTC` : utc(at));

/** What a clock shows, "2024-03-12T21:00:00-05:00", as if it were UTC. */
const wall = (text) => Date.parse(`${text.slice(0, 19)}Z`);

/** "opens Wed 09:00 local time". */
function hoursOf({ state, open_changes_at: changes, open_changes_local: local }, now) {
  if (changes === null || !local) return "";
  const soon = now !== null && Date.parse(changes) - Date.parse(now) < HALF_A_DAY;
  const when = format(soon ? CLOCK : { weekday: "short", ...CLOCK }, wall(local));
  return `${state === "closed" ? "opens" : "closes"} ${when} local time`;
}

function length(minutes) {
  const rounded = minutes > 0 ? Math.max(1, Math.round(minutes)) : 0;
  if (rounded < 60) return `${rounded} min`;
  return rounded % 60 ? `${Math.floor(rounded / 60)} h ${rounded % 60} min` : `${rounded / 60} h`;
}

/** Never rounded up to a whole that it is not. */
function percent(share) {
  if (share === null) return "–";
  const hundredths = Math.floor(share * 10_000 + 1e-6);
  return hundredths % 10_000 ? `${(hundredths / 100).toFixed(2)}%` : `${hundredths / 100}%`;
}

const dateOf = (date) =>
  format({ weekday: "short", day: "numeric", month: "short" }, Date.parse(`${date}T00:00:00Z`)).replace(",", "");

/** Below this coverage a time has no data. */
const MIN_COVERAGE = 0.01;

/** Minutes that polls say were up and down, and those without data, which count as one of them. */
function partsOf({ uptime_minutes: up, downtime_minutes: down, unknown_uptime_minutes: unknownUp = 0, unknown_downtime_minutes: unknownDown = 0, coverage }) {
  const isKnown = coverage === null || coverage >= MIN_COVERAGE;
  return { up: up - unknownUp, down: down - unknownDown, noData: unknownUp + unknownDown, open: up + down, share: up / (up + down), isKnown };
}

// --- pictures

const SHAPES = {
  up: [["circle", { cx: 8, cy: 8, r: 6.5, class: "filled" }], ["path", { d: "M5 8.2l2.1 2.1L11 6.2", class: "cut" }]],
  down: [["path", { d: "M8 13.6 1.9 3h12.2z", class: "filled round" }], ["path", { d: "M8 5.2v3.4M8 10.6v.2", class: "cut" }]],
  unknown: [
    ["rect", { x: 2.2, y: 2.2, width: 11.6, height: 11.6, rx: 2.5, class: "line dashed" }],
    ["path", { d: "M6.3 6.5a1.8 1.8 0 1 1 2.4 1.7c-.5.2-.7.5-.7 1M8 11.2v.1", class: "line" }],
  ],
  closed: [["circle", { cx: 8, cy: 8, r: 5.9, class: "line" }], ["path", { d: "M5.3 8h5.4", class: "line" }]],
};

const icon = (state) =>
  svg("svg", { viewBox: "0 0 16 16", class: `icon ${state}`, "aria-hidden": "true" },
    ...SHAPES[state].map(([name, attributes]) => svg(name, attributes)));

function dayText(day) {
  const { down, noData, open, share, isKnown } = partsOf(day);
  const name = day.whole_day === false ? `${dateOf(day.date)}, so far` : dateOf(day.date);
  if (open === 0) return `${name}: closed`;
  if (!isKnown) return `${name}: no data`;
  const parts = [`${percent(share)} up`];
  if (down > 0) parts.push(`${length(down)} down`);
  if (noData > 0) parts.push(`${length(noData)} no data`);
  return `${name}: ${parts.join(", ")}`;
}

/** The heights of the stacked parts of a bar: a short outage must be visible too. */
function heights({ down, noData, open }) {
  const high = (part) => (part > 0 ? Math.max(6, (HEIGHT * part) / open) : 0);
  const unheard = Math.min(high(noData), HEIGHT - high(down));
  return { down: high(down), unheard };
}

function dayBar(day, index) {
  const parts = partsOf(day);
  const place = { x: index * (BAR + GAP), width: BAR };
  const drawn = [];
  if (parts.open === 0) drawn.push(svg("rect", { ...place, y: HEIGHT - 4, height: 4, class: "shut" }));
  else if (!parts.isKnown) drawn.push(svg("rect", { ...place, y: 0, height: HEIGHT, fill: "url(#hatch)", class: "unheard" }));
  else {
    const { down, unheard } = heights(parts);
    if (parts.up > 0) drawn.push(svg("rect", { ...place, y: 0, height: HEIGHT, class: "up" }));
    if (unheard) {
      drawn.push(svg("rect", { ...place, y: down, height: unheard, class: "gap" }));
      drawn.push(svg("rect", { ...place, y: down, height: unheard, fill: "url(#hatch)", class: "unheard" }));
    }
    if (down) drawn.push(svg("rect", { ...place, y: 0, height: parts.up > 0 || unheard ? down : HEIGHT, fill: "url(#stripes)", class: "down" }));
  }
  if (day.whole_day === false) {
    drawn.push(svg("line", { x1: place.x, x2: place.x + BAR, y1: HEIGHT + 3, y2: HEIGHT + 3, class: "so-far" }));
  }
  const text = dayText(day);
  return svg("g", { role: "img", "aria-label": text, class: "day" }, svg("title", {}, text), ...drawn);
}

function stripes(id, ...content) {
  const place = { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
  return svg("pattern", place, ...content);
}

const patterns = () =>
  svg("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true" },
    svg("defs", {},
      stripes("stripes", svg("rect", { class: "fill-down", width: 6, height: 6 }), svg("rect", { class: "fill-gap", width: 1.5, height: 6 })),
      stripes("hatch", svg("rect", { class: "fill-unknown", width: 2, height: 6 }))));

// --- a row a store

function dayTable(days) {
  const head = ["Day", "Uptime", "Up", "Down", "No data"].map((text) => element("th", { scope: "col" }, text));
  const lines = days.map((day) => {
    const { up, down, noData, open, share, isKnown } = partsOf(day);
    const uptime = open === 0 ? "closed" : isKnown ? percent(share) : "No data";
    return element("tr", {},
      element("th", { scope: "row" }, day.whole_day === false ? `${dateOf(day.date)}, so far` : dateOf(day.date)),
      ...[uptime, length(up), length(down), length(noData)].map((text) => element("td", {}, text)));
  });
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines));
}

/** "91.79% in the last week", and for how much of that there is no data. */
function weekOf({ uptime, coverage }) {
  const [share, backed] = [uptime.last_week, coverage?.last_week ?? null];
  if (backed !== null && backed < MIN_COVERAGE) return [element("b", {}, "No data"), " in the last week"];
  const rest = backed !== null && 1 - backed >= MIN_COVERAGE ? `, ${Math.floor(100 * (1 - backed))}% no data` : "";
  return [element("b", {}, percent(share)), ` in the last week${rest}`];
}

function row(store, now, open) {
  const { name, store_id: id, state, days } = store;
  const width = Math.max(1, days.length) * (BAR + GAP) - GAP;
  const bars = svg("svg", { class: "days", width, height: HEIGHT + 4, role: "group", "aria-label": `${name}, a bar a day` }, ...days.map(dayBar));
  const more = element("details", { "data-store": id },
    element("summary", {}, "Show as table", element("span", { class: "hidden" }, ` of ${name}`)), dayTable(days));
  more.open = open;
  const week = element("p", { class: "week" }, ...weekOf(store));
  const hours = hoursOf(store, now);
  return element("li", { class: "store" },
    element("div", { class: "name" }, element("h3", {}, name), element("p", {}, hours)),
    element("p", { class: `state ${state}` }, icon(state), STATES[state]),
    bars, week, ...(days.length ? [more] : []));
}

// --- the page

let shown = null;
let shownAt = 0;
let timer = null;

/** A line if the status cannot be updated, which is no fault of the stores; else null. */
function stuckSince(failed) {
  const { freshness } = shown;
  if (!failed && !freshness?.delayed) return null;
  const asOf = freshness?.as_of ?? freshness?.at ?? shown.now;
  if (asOf === null) return "Status cannot be updated";
  const now = freshness ? Date.parse(freshness.at) + (performance.now() - shownAt) : Date.parse(asOf);
  return `Status cannot be updated since ${since(Date.parse(asOf), now)}`;
}

function showHeadline(failed) {
  const { title, now, counts } = shown;
  const stuck = stuckSince(failed);
  const [state, text] = stuck === null ? headlineOf(counts) : ["stuck", stuck];
  document.title = `${text} · ${title}`;
  const headline = byId("headline");
  const asOf = now === null ? "No poll received yet" : `As of ${utc(Date.parse(now))}`;
  const when = stuck === null ? asOf : `${asOf}. Retrying every 30 seconds.`;
  // only what is new is said to screen readers again
  if (headline.dataset.said !== `${text} ${when}`) {
    headline.dataset.said = `${text} ${when}`;
    headline.dataset.state = state;
    const picture = icon(state === "stuck" ? "closed" : state);
    headline.replaceChildren(picture, element("p", {}, element("strong", {}, text), element("span", {}, when)));
  }
  headline.setAttribute("aria-busy", "false");
  const notice = byId("notice");
  notice.hidden = stuck === null;
  const lastKnown = "The page shows the last known state of the stores.";
  if (stuck !== null && notice.textContent !== lastKnown) notice.textContent = lastKnown;
}

function show() {
  const { title, now, stores } = shown;
  byId("title").textContent = title;
  const place = byId("stores");
  const open = new Set([...place.querySelectorAll("details[open]")].map((node) => node.dataset.store));
  const focused = document.activeElement?.parentElement?.dataset.store;
  place.replaceChildren(...stores.map((store) => row(store, now, open.has(store.store_id))));
  if (focused) [...place.querySelectorAll("details")].find((node) => node.dataset.store === focused)?.firstChild.focus();
  byId("legend").hidden = !stores.some(({ days }) => days.length);
}

function showUnavailable() {
  const headline = byId("headline");
  headline.setAttribute("aria-busy", "false");
  headline.replaceChildren(element("p", {}, element("strong", {}, "The current status is not known")));
  byId("notice").textContent = "The status page cannot load its data. Retrying every 30 seconds.";
  byId("notice").hidden = false;
}

async function refresh() {
  clearTimeout(timer);
  let failed = false;
  try {
    const response = await fetch("./status.json", { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.statusText);
    shown = await response.json();
    shownAt = performance.now();
  } catch {
    failed = true;
  } finally {
    clearTimeout(timer);
    timer = setTimeout(() => document.visibilityState !== "hidden" && refresh(), REFRESH_MILLISECONDS);
  }
  if (shown === null) return showUnavailable();
  if (!failed) show();
  showHeadline(failed);
}

document.body.append(patterns());
document.addEventListener("visibilitychange", () => document.visibilityState !== "hidden" && refresh());
await refresh();
