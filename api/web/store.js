// The page of one store, kept up to date by events.

import { getJson } from "./api.js";
import { announce, byId, element } from "./dom.js";
import { isSeen, listen } from "./events.js";
import { ago, clock, dayClock, length, sentence, since, weekdayClock } from "./format.js";
import { showHours } from "./hours.js";
import { showIncidents } from "./incidents.js";
import { showConnection, showFreshness } from "./live.js";
import { clearNotice, showNotice } from "./notice.js";
import { reportControl } from "./report.js";
import { STATE_NAMES, stateBadge } from "./states.js";
import { throttled } from "./throttle.js";
import { showTimeline } from "./timeline.js";
import { showWindows } from "./windows.js";
import { LocalClock } from "./zones.js";

const INCIDENTS = 25;
const REFETCH_MILLISECONDS = 3_000;

/** Windows and opening hours change without an event too. */
const REFRESH_MILLISECONDS = 60_000;

const id = decodeURIComponent(location.pathname.split("/")[2] ?? "");
const path = `/stores/${encodeURIComponent(id)}`;

let summary = null;
let incidents = [];
let incidentsClock = null;
let earlierIncidents = null; // the path of the next page of them
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
  takeIncidents(newIncidents);
  showFacts();
  showWindows(byId("windows"), summary.windows);
  const isLocal = new LocalClock(timeline.utc_offsets).isKnown;
  byId("timeline-zone").textContent = isLocal ? `Local time, ${timeline.timezone}` : "UTC";
  showTimeline(byId("timeline"), timeline);
  byId("incidents-note").textContent = `Since ${dayClock(Date.parse(newIncidents.start), incidentsClock)}`;
  showHours(byId("hours"), summary);
  // cards are hidden until they have content
  for (const part of document.querySelectorAll("#store > section, #store > .columns")) part.hidden = false;
}

// --- now

const POLLED = { active: "up", inactive: "down" };

function showFacts() {
  const { state, timezone: zone, last_poll: poll, open_changes_at: changes } = summary;
  const local = new LocalClock(summary.utc_offsets);
  const now = summary.now === null ? null : Date.parse(summary.now);
  const badge = stateBadge(state);
  const down = state === "down" ? downSince(now, local) : null;
  if (down) badge.append(` ${down}`);
  const facts = [badge];
  if (poll) {
    const at = Date.parse(poll.timestamp_utc);
    facts.push(`last heard ${ago(at, now)}: ${POLLED[poll.status]} (${dayClock(at, local)})`);
  } else facts.push("No poll received yet");
  if (now !== null) facts.push(`${weekdayClock(now, local)} ${local.isKnown ? `in ${zone}` : "UTC"}`);
  facts.push(openText(state, changes, local, now));
  // an unknown timezone changes every figure, so the page says so
  if (summary.unknown_timezone) facts.push(`“${summary.unknown_timezone}” is not a timezone: the default, ${zone}, applies`);
  byId("facts").replaceChildren(...facts.map((fact) => element("span", {}, fact)));
  document.title = `${STATE_NAMES[state]}: ${id.slice(0, 8)} · Store uptime`;
}

/** "since 10:00 (1 h 36 min)", by the incident that is going on. */
function downSince(now, local) {
  const current = incidents[0];
  if (!current?.ongoing || now === null) return null;
  const start = Date.parse(current.start);
  const earlier = current.began_earlier ? "before " : "";
  return `since ${earlier}${since(start, now, local)} (${length(now - start)})`;
}

function openText(state, changes, local, now) {
  const closed = state === "closed";
  if (changes === null) return closed ? "never opens" : "open 24/7";
  const at = Date.parse(changes);
  const when = at - now < 12 * 3_600_000 ? clock(at, local) : weekdayClock(at, local);
  return `${closed ? "opens" : "closes"} ${when}, in ${length(at - now)}`;
}

// --- incidents

/** The newest ones replace those of their time; earlier ones that were asked for stay. */
function takeIncidents({ incidents: newest, next, utc_offsets: offsets }) {
  incidentsClock = new LocalClock(offsets);
  const oldest = newest.at(-1)?.start;
  const older = next === null ? [] : incidents.filter(({ start }) => start < oldest);
  if (!older.length) earlierIncidents = next;
  incidents = [...newest, ...older];
  drawIncidents();
}

async function addEarlierIncidents() {
  try {
    const { incidents: older, next } = await getJson(earlierIncidents);
    earlierIncidents = next;
    incidents = [...incidents, ...older];
    drawIncidents();
    announce(`${older.length} earlier incidents`);
  } catch (problem) {
    showNotice(problem, { again: addEarlierIncidents, stale: true });
  }
}

function drawIncidents() {
  showIncidents(byId("incidents"), {
    incidents,
    local: incidentsClock,
    more: earlierIncidents !== null,
    onEarlier: addEarlierIncidents,
  });
}

// --- an unknown store, and events

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
  showFreshness(event.freshness);
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

function linkBackToList() {
  try {
    byId("back").href = `/${sessionStorage.getItem("fleet") ?? ""}`;
  } catch {
    // without storage: all stores, unfiltered
  }
}

byId("title").textContent = id;
linkBackToList();
reportControl(byId("report"), { trigger: `/trigger_report/${encodeURIComponent(id)}` });
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
