// The overview: counts, filters, the table, kept up to date by events.

import { getJson } from "./api.js";
import { announce, byId, element, setText } from "./dom.js";
import { isSeen, listen } from "./events.js";
import { NO_FILTERS, SORTS, isFiltered, readFilters, writeFilters } from "./filters.js";
import { countButtons } from "./fleet-counts.js";
import { storeTable } from "./fleet-table.js";
import { number, plural, utc } from "./format.js";
import { showConnection, showFreshness } from "./live.js";
import { clearNotice, showNotice } from "./notice.js";
import { reportControl } from "./report.js";
import { throttled } from "./throttle.js";

const PAGE_STORES = 50;
const LOADING_ROWS = 12;

/** Least time between two sorts of the rows: nobody can read rows that always move. */
const REFETCH_MILLISECONDS = 3_000;

/** Figures, clocks and opening hours change without an event too. */
const REFRESH_MILLISECONDS = 60_000;

/** The page asks sooner while the figures are being calculated. */
const FIGURES_MILLISECONDS = 3_000;

const ANNOUNCE_MILLISECONDS = 10_000;
const TYPING_MILLISECONDS = 200;

let filters = readFilters(location.search);
let fleet = null;
let loading = null;
let refreshTimer = null;
let typingTimer = null;
let typing = false;

const table = storeTable(byId("rows"));
const counts = countButtons(byId("counts"), byId("proportions"), (state) => {
  const chosen = filters.state.includes(state)
    ? filters.state.filter((other) => other !== state)
    : [...filters.state, state];
  go({ state: chosen });
});
const refetch = throttled(() => load(), REFETCH_MILLISECONDS);
const announceCounts = throttled(() => {
  const { down, unknown, up, closed } = fleet.counts;
  announce(`${number(down)} down, ${number(unknown)} unknown, ${number(up)} up, ${number(closed)} closed`);
}, ANNOUNCE_MILLISECONDS);

// --- filters, and the address that holds them

/** Go to other filters: an entry of the browser's history, unless somebody is still typing. */
function go(change, { replace = false } = {}) {
  filters = { ...filters, page: 1, ...change };
  // in the order of the states, whatever was pressed first
  filters = readFilters(writeFilters(filters));
  const address = location.pathname + writeFilters(filters);
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  typing = replace || "q" in change;
  showFilters();
  load({ wait: true });
}

/** Store the filters, so that a store's page can link back to the same list. */
function rememberFilters() {
  try {
    sessionStorage.setItem("fleet", writeFilters(filters));
  } catch {
    // without storage it links back to all stores
  }
}

function showFilters() {
  rememberFilters();
  counts.press(filters.state);
  if (document.activeElement !== byId("search") || !typing) byId("search").value = filters.q;
  byId("sort").value = filters.sort;
  showZones();
  byId("clear").hidden = !isFiltered(filters);
}

function showZones() {
  const select = byId("zone");
  const zones = new Set(fleet?.zones);
  // the address may name a timezone without any store
  if (filters.zone) zones.add(filters.zone);
  const known = [...select.options].slice(1).map((option) => option.value);
  const sorted = [...zones].sort();
  if (known.join() !== sorted.join()) {
    const options = sorted.map((zone) => element("option", { value: zone }, zone));
    select.replaceChildren(select.options[0], ...options);
  }
  select.value = filters.zone;
}

// --- loading and showing

async function load({ wait = false } = {}) {
  loading?.abort();
  clearTimeout(refreshTimer);
  const mine = (loading = new AbortController());
  if (wait) byId("stores").setAttribute("aria-busy", "true");
  try {
    const search = writeFilters(filters);
    const path = `/fleet${search}${search ? "&" : "?"}limit=${PAGE_STORES}`;
    fleet = await getJson(path, { signal: mine.signal });
    if (mine !== loading) return;
    clearNotice();
    show(wait);
  } catch (problem) {
    if (problem.name === "AbortError" || mine !== loading) return;
    if (problem.status === undefined) throw problem;
    if (problem.status === 422) return showNoMatch();
    if (table.empty) byId("rows").replaceChildren();
    showNotice(problem, { again: () => load(), stale: !table.empty });
  } finally {
    if (mine === loading) byId("stores").setAttribute("aria-busy", "false");
  }
}

const instantOf = (text) => (text === null ? Number.NaN : Date.parse(text));

function show(announced) {
  if (filters.page > Math.max(fleet.pages, 1)) return go({ page: Math.max(fleet.pages, 1) }, { replace: true });
  const now = instantOf(fleet.now);
  showCounts();
  showZones();
  table.show(fleet.stores, now);
  showEmpty();
  showMatching();
  showPages();
  showFiguresNote();
  if (announced) announce(byId("matching").textContent);
  const soon = fleet.figures_at === null && fleet.counts.total > 0;
  const wait = soon ? FIGURES_MILLISECONDS : REFRESH_MILLISECONDS;
  // a hidden page fetches nothing; when it is shown again, the first event makes it fetch
  refreshTimer = setTimeout(() => isSeen() && load(), wait);
}

function showCounts() {
  counts.show(fleet.counts);
  const [time, meaning] = byId("now").children;
  setText(time, fleet.now === null ? "No poll received yet" : utc(Date.parse(fleet.now)));
  setText(meaning, fleet.now !== null && fleet.clock === "data" ? ", time of the newest poll received" : "");
}

function showMatching() {
  const { matching, counts: all, page, stores } = fleet;
  const first = (page - 1) * PAGE_STORES + 1;
  const isRange = stores.length < matching;
  const range = isRange ? `${number(first)}–${number(first + stores.length - 1)} of ` : "";
  const text = isFiltered(filters) && !isRange
    ? `${number(matching)} of ${plural(all.total, "store")}`
    : `${range}${plural(matching, "store")}`;
  setText(byId("matching"), text);
}

function showEmpty() {
  const place = byId("empty");
  place.hidden = fleet.stores.length > 0;
  document.querySelector("table.stores").hidden = !place.hidden;
  if (place.hidden) return;
  if (fleet.counts.total === 0) {
    place.replaceChildren(
      element("h3", {}, "No stores yet"),
      element("p", {}, "A store appears with its first poll, its business hours or its timezone:"),
      element("p", {}, element("code", {}, "POST /stores/{store_id}/status"), " or ",
        element("code", {}, "store-uptime replay --from data")),
    );
    return;
  }
  showNoMatch();
}

function showNoMatch() {
  const { q, state, zone } = filters;
  const onlySearched = q !== "" && !state.length && zone === "";
  const clear = element("button", { class: "button", type: "button" }, "Clear filters");
  clear.addEventListener("click", clearFilters);
  byId("empty").replaceChildren(element("h3", {}, onlySearched ? `No store matches “${q}”` : "No store matches these filters"), clear);
  byId("empty").hidden = false;
  document.querySelector("table.stores").hidden = true;
  byId("pages").hidden = true;
  setText(byId("matching"), "0 stores");
}

function showPages() {
  const { page, pages } = fleet;
  const place = byId("pages");
  place.hidden = pages <= 1;
  const link = (target, text, rel) => {
    const off = target < 1 || target > pages;
    const href = off ? null : `/${writeFilters({ ...filters, page: target })}`;
    return element("a", { class: "button", href, rel, "aria-disabled": off, role: off ? "link" : null, "data-page": target }, text);
  };
  const focused = document.activeElement?.dataset.page && document.activeElement.rel;
  place.replaceChildren(
    link(page - 1, "Previous", "prev"),
    element("span", {}, `Page ${number(page)} of ${number(pages)}`),
    link(page + 1, "Next", "next"),
  );
  if (focused) place.querySelector(`[rel=${focused}]`).focus();
}

function showFiguresNote() {
  const at = fleet.figures_at;
  const text = at
    ? `Downtime, uptime and coverage count business hours only, in the hour, day and week before ${utc(Date.parse(at))}. ` +
      "Downtime is what polls report; time without data is not part of it. Uptime and reports count that time as the settings say."
    : "Downtime, uptime and coverage are being calculated.";
  setText(byId("figures-note"), fleet.counts.total ? text : "");
}

// --- events and input

function onFleet(event, first) {
  showFreshness(event.freshness);
  if (fleet === null) return;
  const counted = JSON.stringify(fleet.counts) !== JSON.stringify(event.counts);
  fleet = { ...fleet, now: event.now, counts: event.counts };
  showCounts();
  table.patch(event.changed, instantOf(event.now));
  if (counted) announceCounts();
  // no event tells what changed before the first one of a connection
  if (first || event.more || event.changed.length || event.removed.length) refetch();
}

function clearFilters() {
  go({ ...NO_FILTERS, sort: filters.sort });
  byId("search").focus();
}

function listenToPeople() {
  const search = byId("search");
  const typed = () => {
    clearTimeout(typingTimer);
    const q = search.value.trim();
    if (q !== filters.q) go({ q }, { replace: typing });
  };
  search.addEventListener("input", () => {
    clearTimeout(typingTimer);
    typingTimer = setTimeout(typed, TYPING_MILLISECONDS);
  });
  search.addEventListener("blur", () => {
    typed();
    typing = false;
  });
  byId("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    typed();
  });
  byId("zone").addEventListener("change", (event) => go({ zone: event.target.value }));
  byId("sort").addEventListener("change", (event) => go({ sort: event.target.value }));
  byId("clear").addEventListener("click", clearFilters);
  byId("pages").addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    // with a key held a browser opens a tab
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go({ page: Number(link.dataset.page) });
    byId("stores").scrollIntoView();
  });
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest?.("input, select, textarea");
    if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    search.focus();
    search.select();
  });
  window.addEventListener("popstate", () => {
    filters = readFilters(location.search);
    typing = false;
    showFilters();
    load({ wait: true });
  });
}

byId("sort").append(
  ...Object.entries(SORTS).map(([value, text]) => element("option", { value }, text)),
);
reportControl(byId("report"), { trigger: "/trigger_report" });
table.showLoading(LOADING_ROWS);
showFilters();
listenToPeople();
await load();
listen({
  path: "/fleet/events",
  name: "fleet",
  onEvent: onFleet,
  onState: showConnection,
  onRefused: load,
});
