// The timeline: a row a local day, 24 hours across. Business hours lie behind; what polls said
// lies over them. Down is higher and striped, time without data is hatched: colour alone tells nothing.

import { element, svg } from "./dom.js";
import { capital, clock, day, length, percent, uptimeShare } from "./format.js";
import { countsAs } from "./shares.js";
import { timelineRows } from "./timeline-rows.js";
import { LocalClock } from "./zones.js";

const HEIGHT = 28;
const MINUTE = 60_000;

/** Top and height of a bar: [in business hours, outside of them]. */
const BARS = { active: [[9, 10], [13, 2]], inactive: [[4, 20], [13, 2]], unknown: [[9, 10], [13, 2]] };

const WORDS = { active: "up", inactive: "down" };
const AXIS = [0, 6, 12, 18, 24];

const share = (value) => `${(value * 100).toFixed(4)}%`;

/** "down", "no data (counted as down)". */
function meaning({ status, countedAs, open }) {
  if (status !== "unknown") return WORDS[status];
  return open ? `no data (counted as ${WORDS[countedAs]})` : "no data";
}

function described(segment, local) {
  const { start, end, open } = segment;
  const until = clock(end, local) === "00:00" ? "24:00" : clock(end, local);
  return {
    when: `${day(start, local)}, ${clock(start, local)} to ${until}`,
    what: `${capital(meaning(segment))}, ${length(end - start)}`,
    where: open ? "in business hours" : "outside business hours",
  };
}

/** Which part of its day a row shows, where that is not all of it. */
function cutOf({ start, end, isWhole }, local, isLast) {
  if (isWhole) return null;
  return isLast ? `until ${clock(end, local)}` : `from ${clock(start, local)}`;
}

function lookOf({ status, open }) {
  const [top, height] = BARS[status][open ? 0 : 1];
  const pattern = { inactive: "url(#stripes)", unknown: "url(#hatch)" }[status];
  return { y: top, height, fill: open ? pattern : null };
}

function drawSegment(segment, local) {
  const look = lookOf(segment);
  const { when, what, where } = described(segment, local);
  const bars = segment.bars.map(({ from, to }) => {
    const place = { x: share(from), width: share(to - from) };
    return [
      svg("rect", { class: "reach", ...place, y: 0, height: HEIGHT }),
      svg("rect", { class: "bar", ...place, ...look }),
    ];
  });
  const kind = `segment ${segment.status} ${segment.open ? "open" : "shut"}`;
  const label = `${when}: ${what}, ${where}`;
  return svg("g", { class: kind, role: "img", "aria-label": label, tabindex: -1 }, ...bars.flat());
}

function drawHours(row) {
  // the bars of open segments that touch are one band
  const bands = [];
  for (const { from, to } of row.segments.filter(({ open }) => open).flatMap(({ bars }) => bars)) {
    const last = bands.at(-1);
    if (last && Math.abs(last.to - from) < 1e-9) last.to = to;
    else bands.push({ from, to });
  }
  return bands.map(({ from, to }) =>
    svg("rect", { class: "hours", x: share(from), width: share(to - from), y: 0, height: HEIGHT }),
  );
}

function figuresOf({ uptimeMinutes: up, downtimeMinutes: down, parts }) {
  if (up + down === 0) return [element("span", {}, "closed")];
  const { down: backedDown, noData, isKnown } = parts;
  const amounts = [
    backedDown > 0 ? element("span", {}, `${length(backedDown)} down`) : null,
    noData > 0 && isKnown ? element("span", { title: countsAs(parts) }, `${length(noData)} no data`) : null,
    isKnown ? null : element("span", {}, countsAs(parts)),
  ];
  return [
    element("b", {}, isKnown ? percent(uptimeShare(up, down)) : "No data"),
    element("span", { class: "amounts" }, ...amounts),
  ];
}

function drawRow(row, local, isLast) {
  const lines = [3, 6, 9, 12, 15, 18, 21].map((hour) => {
    const x = share(hour / 24);
    return svg("line", { class: hour % 6 ? "fine" : "grid", x1: x, x2: x, y1: 0, y2: HEIGHT });
  });
  const segments = row.segments.map((segment) => drawSegment(segment, local));
  const name = day(row.start, local);
  const cut = cutOf(row, local, isLast);
  const picture = svg(
    "svg",
    { class: "track", width: "100%", height: HEIGHT, role: "group", "aria-label": cut ? `${name}, ${cut}` : name },
    ...drawHours(row), ...lines, ...segments,
  );
  const line = element("li", { class: "day" },
    element("span", { class: "date" }, name, cut && element("span", { class: "cut" }, cut)),
    picture, element("span", { class: "figures" }, ...figuresOf(row)));
  return { line, segments };
}

function stripes(id, size, ...content) {
  return svg("pattern", {
    id, width: size, height: size, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)",
  }, ...content);
}

function patterns() {
  return svg("svg", { class: "patterns", width: 0, height: 0, "aria-hidden": "true" },
    svg("defs", {},
      stripes("stripes", 6, svg("rect", { class: "fill-down", width: 6, height: 6 }), svg("rect", { class: "fill-gap", width: 1.5, height: 6 })),
      stripes("hatch", 5, svg("rect", { class: "fill-unknown", width: 1.6, height: 5 })),
    ));
}

function legend(rows) {
  const seen = new Set();
  const open = rows.flatMap((row) => row.segments).filter((segment) => segment.open);
  for (const { status, countedAs } of open) seen.add(`${status} ${countedAs}`);
  const entry = (text, ...shapes) => element("li", {},
    svg("svg", { width: 22, height: HEIGHT, "aria-hidden": "true" },
      svg("rect", { class: "hours", width: 22, height: HEIGHT }), ...shapes), text);
  const segment = (status) => {
    const look = lookOf({ status, open: true });
    return svg("g", { class: `segment ${status} open` }, svg("rect", { class: "bar", width: 22, ...look }));
  };
  const entries = [entry("Business hours"), entry("Up", segment("active")), entry("Down", segment("inactive"))];
  for (const counted of ["inactive", "active"]) {
    if (!seen.has(`unknown ${counted}`)) continue;
    const kind = { status: "unknown", countedAs: counted, open: true };
    entries.push(entry(capital(meaning(kind)), segment("unknown")));
  }
  const shut = svg("svg", { width: 22, height: HEIGHT, "aria-hidden": "true" },
    svg("g", { class: "segment active shut" }, svg("rect", { class: "bar", width: 22, y: 13, height: 2 })));
  entries.push(element("li", {}, shut, "Outside business hours (not counted)"));
  return element("ul", { class: "legend", "aria-label": "Legend" }, ...entries);
}

/** The days as numbers, for those who read rather than look. */
function dayTable(rows, local) {
  const cell = (text) => element("td", { class: "figure" }, text);
  const lines = rows.map(({ start, parts, coverage, uptimeMinutes, downtimeMinutes, ...row }, index) => {
    const cut = cutOf({ start, ...row }, local, index === rows.length - 1);
    const uptime = parts.isKnown || !parts.open ? percent(uptimeShare(uptimeMinutes, downtimeMinutes)) : "No data";
    return element("tr", {},
      element("th", { scope: "row" }, [day(start, local), cut].filter(Boolean).join(", ")),
      cell(length(parts.up)), cell(length(parts.down)), cell(length(parts.noData)),
      cell(uptime), cell(percent(coverage)));
  });
  const head = ["Day", "Up", "Down", "No data", "Uptime", "Coverage"].map((text, index) =>
    element("th", { scope: "col", class: index ? "figure" : null }, text));
  return element("details", { class: "numbers" },
    element("summary", {}, "Show as table"),
    element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines)));
}

/** Draw a timeline as `GET /stores/{id}/timeline` answers it. */
export function showTimeline(place, timeline) {
  const local = new LocalClock(timeline.utc_offsets);
  const rows = timelineRows(timeline);
  const drawn = rows.map((row, index) => drawRow(row, local, index === rows.length - 1));
  const axis = element("div", { class: "axis", "aria-hidden": "true" },
    ...AXIS.map((hour) => element("span", {}, `${String(hour).padStart(2, "0")}:00`)));
  const tip = element("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const chart = element("div", { class: "chart" }, axis,
    element("ol", { class: "days" }, ...drawn.map(({ line }) => line)), tip);
  const wasOpen = place.querySelector("details")?.open;
  const focused = place.contains(document.activeElement)
    ? document.activeElement.getAttribute("aria-label")
    : null;
  const table = dayTable(rows, local);
  table.open = Boolean(wasOpen);
  place.replaceChildren(patterns(), chart, legend(rows), table);

  const explain = (node, segment) => showTip(tip, chart, node, described(segment, local));
  const grid = drawn.map(({ segments }, index) =>
    segments.map((node, position) => ({ node, segment: rows[index].segments[position] })));
  explore(chart, grid, { explain, hide: () => (tip.hidden = true) });
  if (focused) [...chart.querySelectorAll(".segment")].find((node) => node.getAttribute("aria-label") === focused)?.focus();
}

function showTip(tip, chart, node, { when, what, where }) {
  tip.replaceChildren(element("strong", {}, what), element("span", {}, when), element("span", {}, capital(where)));
  tip.hidden = false;
  const [bar, around] = [node.getBoundingClientRect(), chart.getBoundingClientRect()];
  const middle = bar.left + bar.width / 2 - around.left;
  const half = tip.offsetWidth / 2;
  tip.style.left = `${Math.max(half, Math.min(middle, around.width - half))}px`;
  tip.style.top = `${bar.top - around.top}px`;
}

/** One stop of the Tab key; arrows go on from there, as in a grid. */
function explore(chart, grid, { explain, hide }) {
  const places = new Map();
  grid.forEach((line, row) => line.forEach((entry, column) => places.set(entry.node, { ...entry, row, column })));
  const placeOf = (target) => places.get(target.closest?.(".segment"));
  const last = grid.findLast((line) => line.length)?.at(-1);
  let stop = last?.node;
  stop?.setAttribute("tabindex", 0);

  function nearest(line, instant) {
    const distance = ({ segment }) => Math.abs((segment.start + segment.end) / 2 - instant);
    return line?.reduce((best, entry) => (best && distance(best) <= distance(entry) ? best : entry), undefined);
  }

  function target(key, { row, column, segment }) {
    const line = grid[row];
    const middle = (segment.start + segment.end) / 2;
    switch (key) {
      case "ArrowLeft": return line[column - 1] ?? grid.slice(0, row).findLast((other) => other.length)?.at(-1);
      case "ArrowRight": return line[column + 1] ?? grid.slice(row + 1).find((other) => other.length)?.[0];
      case "ArrowUp": return nearest(grid[row - 1], middle - 24 * 60 * MINUTE);
      case "ArrowDown": return nearest(grid[row + 1], middle + 24 * 60 * MINUTE);
      case "Home": return line[0];
      case "End": return line.at(-1);
      default: return null;
    }
  }

  chart.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const place = placeOf(event.target);
    if (!place) return;
    const next = target(event.key, place);
    if (next === null) return;
    event.preventDefault();
    next?.node.focus();
  });
  chart.addEventListener("focusin", (event) => {
    const place = placeOf(event.target);
    if (!place) return;
    stop.setAttribute("tabindex", -1);
    stop = place.node;
    stop.setAttribute("tabindex", 0);
    explain(place.node, place.segment);
  });
  chart.addEventListener("focusout", hide);
  chart.addEventListener("pointerover", (event) => {
    const place = placeOf(event.target);
    if (place) explain(place.node, place.segment);
    else hide();
  });
  chart.addEventListener("pointerleave", hide);
}
