// The table of stores. Rows are kept by store: what changes is written, the rest stays untouched,
// so that neither focus nor a reader's place is lost when the page updates itself.

import { element, setText } from "./dom.js";
import { ago, number, percent, uptimeShare, weekdayClock } from "./format.js";
import { stateBadge } from "./states.js";

const COLUMNS = [
  ["badge", "State"],
  ["store", "Store"],
  ["zone", "Time zone"],
  ["clock", "Local time"],
  ["poll", "Last poll"],
  ["figure", "Down, hour"],
  ["figure", "Down, day"],
  ["figure", "Down, week"],
  ["figure", "Up, week"],
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

function writeFigures(cells, figures) {
  const texts = figures
    ? [
        minutes(figures.downtime_last_hour),
        hours(figures.downtime_last_day),
        hours(figures.downtime_last_week),
        percent(uptimeShare(figures.uptime_last_week, figures.downtime_last_week)),
        percent(figures.coverage ?? null),
      ]
    : ["–", "–", "–", "–", "–"];
  texts.forEach((text, index) => {
    const cell = cells[index];
    setText(cell, text);
    cell.classList.toggle("nothing", text === "0" || text === "–");
  });
}

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
    poll ? `${poll.status}, ${ago(Date.parse(poll.timestamp_utc), now)}` : "none yet",
  );
  setText(cells[3], Number.isNaN(now) ? "–" : weekdayClock(now, store.timezone));
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
      const wanted = [...rows.values()].map((row) => row.node);
      const same = wanted.every((node, index) => body.children[index] === node);
      if (same && body.children.length === wanted.length) return;
      const focused = document.activeElement;
      body.replaceChildren(...wanted);
      if (body.contains(focused)) focused.focus({ preventScroll: true });
    },

    /** Write what an event tells into the rows that are shown. */
    patch(changed, now) {
      for (const { store_id: id, state, last_poll: poll } of changed) {
        const row = rows.get(id);
        if (row) row.store = { ...row.store, state, last_poll: poll };
      }
      for (const row of rows.values()) writeNow(row, now);
    },

    /** Grey lines in the place of what is still to come. */
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

