// The page of one store, kept up to date by events.

import { getJson } from "./api.js";
import { announce, byId, element } from "./dom.js";
import { isSeen, listen } from "./events.js";
import { ago, clock, dayClock, length, sentence, weekdayClock } from "./format.js";
import { showHours } from "./hours.js";
import { showIncidents } from "./incidents.js";
import { clearNotice, showConnection, showNotice } from "./notice.js";
import { reportControl } from "./report.js";
import { STATE_NAMES, stateBadge } from "./states.js";
import { throttled } from "./throttle.js";
import { showTimeline } from "./timeline.js";
import { showWindows } from "./windows.js";

const INCIDENTS = 25;
const REFETCH_MILLISECONDS = 3_000;

/** Windows and hours move on also when no event says so. */
const REFRESH_MILLISECONDS = 60_000;

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const path = `/stores/${encodeURIComponent(id)}`;

let summary = null;
let incidents = [];
let olderIncidents = null; // where the next ones are
let loading = null;
let refreshTimer = null;

const refetch = throttled(() => load(), REFETCH_MILLISECONDS);

async function load() {
  loading?.abort();
  clearTimeout(refreshTimer);
  const mine = (loading = new AbortController());
  const get = (what) => getJson(`${path}/${what}`, { signal: mine.signal });
  try {
    const answers = await Promise.all([
      get("summary"),
      get("timeline"),
      get(`incidents?limit=${INCIDENTS}`),
    ]);
    if (mine !== loading) return;
    clearNotice();
    show(...answers);
    refreshTimer = setTimeout(() => isSeen() && load(), REFRESH_MILLISECONDS);
  } catch (problem) {
    if (problem.name === "AbortError" || mine !== loading) return;
    if (problem.status === undefined) throw problem;
    mine.abort();
    if (problem.status === 404 || problem.status === 422) return showMissing(problem);
    showNotice(problem, { again: load, stale: summary !== null });
  } finally {
    if (mine === loading) byId("store").setAttribute("aria-busy", "false");
  }
}

function show(newSummary, timeline, newIncidents) {
  summary = newSummary;
  byId("title").textContent = summary.store_id;
  showFacts();
  showWindows(byId("windows"), summary.windows);
  byId("timeline-zone").textContent = `Local time, ${timeline.timezone}`;
  showTimeline(byId("timeline"), timeline);
  byId("incidents-note").textContent = `Since ${dayClock(Date.parse(newIncidents.start), newIncidents.timezone)}`;
  takeIncidents(newIncidents);
  showHours(byId("hours"), summary);
}

// --- now

function showFacts() {
  const { state, timezone: zone, last_poll: poll, open_changes_at: changes } = summary;
  const now = summary.now === null ? null : Date.parse(summary.now);
  const facts = [stateBadge(state)];
  if (poll) {
    const at = Date.parse(poll.timestamp_utc);
    facts.push(`last poll ${poll.status}, ${ago(at, now)} (${dayClock(at, zone)})`);
  } else facts.push("no poll yet: unknown until the first one");
  if (now !== null) facts.push(`${weekdayClock(now, zone)} in ${zone}`);
  facts.push(openText(state, changes, zone, now));
  byId("facts").replaceChildren(...facts.map((fact) => element("span", {}, fact)));
  document.title = `${STATE_NAMES[state]}: ${id.slice(0, 8)} · Store uptime`;
}

function openText(state, changes, zone, now) {
  const closed = state === "closed";
  if (changes === null) return closed ? "never opens" : "always open";
  const at = Date.parse(changes);
  const when = at - now < 12 * 3_600_000 ? clock(at, zone) : weekdayClock(at, zone);
  return `${closed ? "opens" : "closes"} ${when}, in ${length(at - now)}`;
}

// --- incidents

/** The newest ones replace those of their time; older ones that were asked for stay. */
function takeIncidents({ incidents: newest, next }) {
  const oldest = newest.at(-1)?.start;
  const older = next === null ? [] : incidents.filter(({ start }) => start < oldest);
  if (!older.length) olderIncidents = next;
  incidents = [...newest, ...older];
  drawIncidents();
}

async function addOlderIncidents() {
  try {
    const { incidents: older, next } = await getJson(olderIncidents);
    olderIncidents = next;
    incidents = [...incidents, ...older];
    drawIncidents();
    announce(`${older.length} older incidents`);
  } catch (problem) {
    showNotice(problem, { again: addOlderIncidents, stale: true });
  }
}

function drawIncidents() {
  showIncidents(byId("incidents"), {
    incidents,
    zone: summary.timezone,
    more: olderIncidents !== null,
    onOlder: addOlderIncidents,
  });
}

// --- what is not there, and what changes

function showMissing(problem) {
  byId("store").hidden = true;
  const place = byId("missing");
  place.hidden = false;
  place.replaceChildren(
    element("h1", {}, problem.status === 404 ? "No such store" : "Not a store id"),
    element("p", {}, sentence(problem.message)),
    element("a", { class: "button", href: "/" }, "See all stores"),
  );
  document.title = "No such store · Store uptime";
}

function onFleet(event, first) {
  if (summary === null) return;
  const mine = event.changed.find((store) => store.store_id === summary.store_id);
  const state = mine?.state ?? summary.state;
  if (state !== summary.state) announce(`The store is ${STATE_NAMES[state].toLowerCase()} now`);
  const poll = mine ? mine.last_poll : summary.last_poll;
  summary = { ...summary, now: event.now, state, last_poll: poll };
  showFacts();
  // no event tells what changed before the first one of a connection
  if (first || mine || event.more || event.removed.includes(summary.store_id)) refetch();
}

function backToWhereOneCameFrom() {
  try {
    byId("back").href = `/${sessionStorage.getItem("fleet") ?? ""}`;
  } catch {
    // without storage: all stores, unfiltered
  }
}

byId("title").textContent = id;
backToWhereOneCameFrom();
reportControl(byId("report"), { trigger: `/trigger_report/${encodeURIComponent(id)}`, label: "Report of this store" });
await load();
if (byId("missing").hidden) {
  listen({
    path: `/fleet/events?store_id=${encodeURIComponent(id)}`,
    name: "fleet",
    onEvent: onFleet,
    onState: showConnection,
    onRefused: load,
  });
}
