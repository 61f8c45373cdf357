// Whether what is shown follows the service, and which part keeps it from doing so.

import { byId, setText } from "./dom.js";
import { ago, clock, sentence, utc } from "./format.js";
import { clearSourceNotice, showSourceNotice } from "./notice.js";
import { UTC } from "./zones.js";

const AGE_MILLISECONDS = 10_000;

let connected = false;
let told = null; // the last `freshness` of the service
let toldAt = 0; // on this machine's steady clock

/** The service's clock now: this machine's own may be wrong. */
const serviceNow = () => Date.parse(told.at) + (performance.now() - toldAt);

function labelOf() {
  if (!connected) return ["lost", "Not connected"];
  if (told === null) return ["live", "Live"];
  if (told.delayed) {
    const asOf = told.as_of === null ? null : Date.parse(told.as_of);
    return ["delayed", asOf === null ? "Delayed" : `Delayed: data of ${clock(asOf, UTC)}, ${ago(asOf, serviceNow())}`];
  }
  if (told.newest_poll_stale) return ["stale", `Newest poll: ${ago(Date.parse(told.newest_poll), serviceNow())}`];
  return ["live", "Live"];
}

function reasonOf() {
  if (!connected) return "The service does not answer, or sends no updates.";
  if (told?.part === "broker") return "The service has lost its message broker.";
  if (told?.part === "workers") return `The workers do not keep up: ${sentence(told.reason)}`;
  return null;
}

function show() {
  const [state, text] = labelOf();
  const place = byId("connection");
  place.dataset.state = state;
  setText(place, text);
  const asOf = told?.as_of ?? told?.at ?? null;
  place.title = asOf === null ? "" : `Data of ${utc(Date.parse(asOf))}`;
  const reason = reasonOf();
  if (reason === null) return clearSourceNotice();
  showSourceNotice(asOf === null ? `${reason} Retrying.` : `${reason} Data of ${utc(Date.parse(asOf))} is shown. Retrying.`);
}

/** @param state "live" or "lost", as `listen` gives it. */
export function showConnection(state) {
  connected = state === "live";
  show();
}

/** @param freshness as `GET /fleet/events` tells it. */
export function showFreshness(freshness) {
  if (!freshness) return;
  told = freshness;
  toldAt = performance.now();
  show();
}

// while it is delayed no event tells that it grows older
setInterval(() => told !== null && show(), AGE_MILLISECONDS);
