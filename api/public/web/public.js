// The status page: asks for its content now and then, and shows it. It shares nothing with the
// pages inside, and leads nowhere: it is made to stand alone on a port of its own.

const AGAIN_MILLISECONDS = 30_000;
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
  if (unknown > 0) return ["unknown", `Nothing is heard from ${unknown === 1 ? "1 store" : `${unknown} stores`}`];
  if (up > 0) return ["up", "All stores that are open are up"];
  return ["closed", closed === 1 ? "The store is closed now" : "All stores are closed now"];
}

function inZone(options, zone) {
  const settings = { ...options, hourCycle: "h23" };
  try {
    return new Intl.DateTimeFormat("en-GB", { ...settings, timeZone: zone ?? "UTC" });
  } catch {
    return new Intl.DateTimeFormat("en-GB", { ...settings, timeZone: "UTC" }); // unknown to the browser
  }
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const HALF_A_DAY = 12 * 60 * MINUTE;

function utc(text) {
  const date = inZone({ day: "numeric", month: "short", year: "numeric" }, "UTC").format(Date.parse(text));
  return `${date}, ${inZone(CLOCK, "UTC").format(Date.parse(text))} UTC`;
}

/** "opens Wed 09:00 there". */
function hoursOf({ state, open_changes_at: changes, timezone: zone }, now) {
  if (changes === null) return "";
  const at = Date.parse(changes);
  const soon = now !== null && at - Date.parse(now) < HALF_A_DAY;
  const when = inZone(soon ? CLOCK : { weekday: "short", ...CLOCK }, zone).format(at);
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
  inZone({ weekday: "short", day: "numeric", month: "short" }, "UTC").format(Date.parse(`${date}T00:00:00Z`)).replace(",", "");

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

function tellDay({ date, uptime_minutes: up, downtime_minutes: down, coverage }) {
  if (up + down === 0) return `${dateOf(date)}: closed`;
  if (coverage === 0) return `${dateOf(date)}: no polls, counts as ${down > up ? "down" : "up"}`;
  const trust = coverage !== null && coverage < 1 ? `, polls cover ${percent(coverage)}` : "";
  return `${dateOf(date)}: ${percent(up / (up + down))} up${down > 0 ? `, ${length(down)} down` : ""}${trust}`;
}

function dayBar(day, index) {
  const { uptime_minutes: up, downtime_minutes: down, coverage } = day;
  const place = { x: index * (BAR + GAP), width: BAR };
  const parts = [];
  if (up + down === 0) parts.push(svg("rect", { ...place, y: HEIGHT - 4, height: 4, class: "shut" }));
  else if (coverage === 0) parts.push(svg("rect", { ...place, y: 0, height: HEIGHT, fill: "url(#hatch)", class: "unheard" }));
  else {
    parts.push(svg("rect", { ...place, y: 0, height: HEIGHT, class: "up" }));
    // a short outage must be seen too
    const height = down > 0 ? Math.max(6, (HEIGHT * down) / (up + down)) : 0;
    if (height) parts.push(svg("rect", { ...place, y: 0, height, fill: "url(#stripes)", class: "down" }));
  }
  const text = tellDay(day);
  return svg("g", { role: "img", "aria-label": text, class: "day" }, svg("title", {}, text), ...parts);
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
  const head = ["Day", "Uptime", "Up", "Down"].map((text) => element("th", { scope: "col" }, text));
  const lines = days.map(({ date, uptime_minutes: up, downtime_minutes: down }) =>
    element("tr", {},
      element("th", { scope: "row" }, dateOf(date)),
      element("td", {}, up + down ? percent(up / (up + down)) : "closed"),
      element("td", {}, length(up)), element("td", {}, length(down))));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines));
}

function row(store, now, open) {
  const { name, store_id: id, state, days, uptime } = store;
  const width = Math.max(1, days.length) * (BAR + GAP) - GAP;
  const bars = svg("svg", { class: "days", width, height: HEIGHT, role: "group", "aria-label": `${name}, day by day` }, ...days.map(dayBar));
  const more = element("details", { "data-store": id },
    element("summary", {}, "Day by day", element("span", { class: "hidden" }, ` of ${name}`)), dayTable(days));
  more.open = open;
  const week = element("p", { class: "week" }, element("b", {}, percent(uptime.last_week)), " in the last week");
  const hours = hoursOf(store, now);
  return element("li", { class: "store" },
    element("div", { class: "name" }, element("h3", {}, name), element("p", {}, hours)),
    element("p", { class: `state ${state}` }, icon(state), STATES[state]),
    bars, week, ...(days.length ? [more] : []));
}

// --- the page

let shown = null;
let timer = null;

function show({ title, now, counts, stores }) {
  byId("title").textContent = title;
  const [state, text] = headlineOf(counts);
  document.title = `${text} · ${title}`;
  const headline = byId("headline");
  const when = now === null ? "No polls yet" : `As of ${utc(now)}`;
  // only what is new is said to screen readers again
  if (headline.dataset.said !== `${text} ${when}`) {
    headline.dataset.said = `${text} ${when}`;
    headline.dataset.state = state;
    headline.replaceChildren(icon(state), element("p", {}, element("strong", {}, text), element("span", {}, when)));
  }
  headline.setAttribute("aria-busy", "false");
  const place = byId("stores");
  const open = new Set([...place.querySelectorAll("details[open]")].map((node) => node.dataset.store));
  const focused = document.activeElement?.parentElement?.dataset.store;
  place.replaceChildren(...stores.map((store) => row(store, now, open.has(store.store_id))));
  if (focused) [...place.querySelectorAll("details")].find((node) => node.dataset.store === focused)?.firstChild.focus();
  byId("legend").hidden = !stores.some(({ days }) => days.length);
}

function tellTrouble() {
  byId("headline").setAttribute("aria-busy", "false");
  if (shown === null) byId("headline").replaceChildren(element("p", {}, element("strong", {}, "The status is not known now")));
  const notice = byId("notice");
  notice.textContent = shown === null
    ? "There is no answer. Trying again every 30 seconds."
    : "There is no answer. What is shown is what was last known; trying again every 30 seconds.";
  notice.hidden = false;
}

async function refresh() {
  clearTimeout(timer);
  try {
    const response = await fetch("./status.json", { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.statusText);
    shown = await response.json();
    byId("notice").hidden = true;
  } catch {
    tellTrouble();
  } finally {
    clearTimeout(timer);
    timer = setTimeout(() => document.visibilityState !== "hidden" && refresh(), AGAIN_MILLISECONDS);
  }
  if (shown) show(shown);
}

document.body.append(patterns());
document.addEventListener("visibilitychange", () => document.visibilityState !== "hidden" && refresh());
await refresh();
