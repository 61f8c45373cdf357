// The table of stores. Each store keeps its row, of which only changed cells are written, so that
// an update of the page moves neither the focus nor a screen reader.

import { element, setText } from "./dom.js";
import { ago, number, percent, uptimeShare, weekdayClock } from "./format.js";
import { stateBadge } from "./states.js";
import { LocalClock } from "./zones.js";

const COLUMNS = [
  ["badge", "State"],
  ["store", "Store"],
  ["zone", "Timezone"],
  ["clock", "Local time"],
  ["poll", "Last heard"],
  ["figure", "Down, last hour"],
  ["figure", "Down, last day"],
  ["figure", "Down, last week"],
  ["figure", "Up, last week"],
  ["figure coverage", "Coverage"],
];

function makeRow(store) {
  const link = element("a", { href: `/store/${store.store_id}`, class: "id" }, store.store_id);
  const cells = COLUMNS.map(([name, label]) => {
    // display: grid takes a table's roles away in some browsers, so they are written down
    const role = name === "store" ? "rowheader" : "cell";
    const tag = name === "store" ? "th" : "td";
    const scope = name === "store" ? "row" : null;
    return element(tag, { role, scope, class: name, "data-label": label });
  });
  cells[1].append(link);
  return { node: element("tr", { role: "row" }, ...cells), cells, state: null, store };
}

// digits stand below digits: reports give hours to a hundredth
const minutes = (value) => (value === 0 ? "0" : `${number(value)} min`);
const hours = (value) => (value === 0 ? "0" : `${value.toFixed(2)} h`);

/** Below this coverage a time has no data. */
const MIN_COVERAGE = 0.01;
const NO_DATA = "No data";

/** The figures of a window, and whether enough of it is covered by polls. */
function windowOf(figures, name) {
  const [up, down] = [figures[`uptime_last_${name}`], figures[`downtime_last_${name}`]];
  const [unknownUp, unknownDown] = ["uptime", "downtime"].map((side) => figures[`unknown_${side}_last_${name}`] ?? 0);
  const open = up + down;
  const isKnown = open === 0 || (open - unknownUp - unknownDown) / open >= MIN_COVERAGE;
  return { up, down, unknownDown, isKnown };
}

/** Downtime that polls report; the title has the downtime without data. */
function downtimeOf(figures, name, shown) {
  const { down, unknownDown, isKnown } = windowOf(figures, name);
  const title = unknownDown > 0 ? `${shown(down)} counted as down, ${shown(unknownDown)} of it without data` : "";
  // hours have two decimals, and a difference of such may have more
  return [isKnown ? shown(Math.round(100 * (down - unknownDown)) / 100) : NO_DATA, title];
}

function figuresOf(figures) {
  if (!figures) return Array(5).fill(["–", ""]);
  const week = windowOf(figures, "week");
  return [
    downtimeOf(figures, "hour", minutes),
    downtimeOf(figures, "day", hours),
    downtimeOf(figures, "week", hours),
    [week.isKnown ? percent(uptimeShare(week.up, week.down)) : NO_DATA, ""],
    [percent(figures.coverage ?? null), ""],
  ];
}

function writeFigures(cells, figures) {
  figuresOf(figures).forEach(([text, title], index) => {
    const cell = cells[index];
    setText(cell, text);
    cell.title = title;
    cell.classList.toggle("nothing", ["0", "–", NO_DATA].includes(text));
  });
}

const POLLED = { active: "up", inactive: "down" };

function writeNow(row, now) {
  const { cells, store } = row;
  if (row.state !== store.state) {
    const changed = row.state !== null;
    row.state = store.state;
    row.node.dataset.state = store.state;
    cells[0].replaceChildren(stateBadge(store.state));
    if (changed) flash(row.node);
  }
  const poll = store.last_poll;
  setText(
    cells[4],
    poll ? `${POLLED[poll.status]}, ${ago(Date.parse(poll.timestamp_utc), now)}` : "none received",
  );
  setText(cells[3], Number.isNaN(now) ? "–" : weekdayClock(now, LocalClock.showing(store.local_time)));
}

function flash(node) {
  node.classList.remove("changed");
  // reading a size makes the browser start the animation anew
  void node.offsetWidth;
  node.classList.add("changed");
}

function writeAll(row, now) {
  const { cells, store } = row;
  setText(cells[2], store.timezone);
  cells[2].title = store.timezone; // it may be cut off
  writeNow(row, now);
  writeFigures(cells.slice(5), store.figures);
}

export function storeTable(body) {
  let rows = new Map();

  return {
    /** Show these stores in this order. */
    show(stores, now) {
      const kept = new Map();
      for (const store of stores) {
        const row = rows.get(store.store_id) ?? makeRow(store);
        row.store = store;
        writeAll(row, now);
        kept.set(store.store_id, row);
      }
      for (const [id, row] of rows) if (!kept.has(id)) row.node.remove();
      rows = kept;
      const nodes = [...rows.values()].map((row) => row.node);
      const same = nodes.every((node, index) => body.children[index] === node);
      if (same && body.children.length === nodes.length) return;
      const focused = document.activeElement;
      body.replaceChildren(...nodes);
      if (body.contains(focused)) focused.focus({ preventScroll: true });
    },

    /** Write the changes of an event into the rows that are shown. */
    patch(changed, now) {
      for (const { store_id: id, state, last_poll: poll } of changed) {
        const row = rows.get(id);
        if (row) row.store = { ...row.store, state, last_poll: poll };
      }
      for (const row of rows.values()) writeNow(row, now);
    },

    /** Show grey lines until the stores are loaded. */
    showLoading(count) {
      const line = () =>
        element("tr", { class: "loading", role: "row", "aria-hidden": "true" },
          element("td", { role: "cell", colspan: COLUMNS.length }, element("span")));
      body.replaceChildren(...Array.from({ length: count }, line));
    },

    get empty() {
      return rows.size === 0;
    },
  };
}

