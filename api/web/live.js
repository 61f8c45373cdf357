// Whether the page shows the newest data, and if not, which part is late.

import { byId, setText } from "./dom.js";
import { ago, clock, sentence, utc } from "./format.js";
import { clearSourceNotice, showSourceNotice } from "./notice.js";
import { UTC } from "./zones.js";

const AGE_MILLISECONDS = 10_000;

let connected = false;
let latest = null; // the last `freshness` of the service
let receivedAt = 0; // when it came, on this machine's steady clock

/** The service's clock now: this machine's own may be wrong. */
const serviceNow = () => Date.parse(latest.at) + (performance.now() - receivedAt);

function labelOf() {
  if (!connected) return ["lost", "Not connected"];
  if (latest === null) return ["live", "Live"];
  if (latest.delayed) {
    const asOf = latest.as_of === null ? null : Date.parse(latest.as_of);
    return ["delayed", asOf === null ? "Delayed" : `Delayed: data of ${clock(asOf, UTC)}, ${ago(asOf, serviceNow())}`];
  }
  if (latest.newest_poll_stale) return ["stale", `Newest poll: ${ago(Date.parse(latest.newest_poll), serviceNow())}`];
  return ["live", "Live"];
}

function reasonOf() {
  if (!connected) return "The service does not answer, or sends no updates.";
  if (latest?.part === "broker") return "The service has lost its message broker.";
  if (latest?.part === "workers") return `The workers do not keep up: ${sentence(latest.reason)}`;
  return null;
}

function show() {
  const [state, text] = labelOf();
  const place = byId("connection");
  place.dataset.state = state;
  setText(place, text);
  const asOf = latest?.as_of ?? latest?.at ?? null;
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

/** @param freshness as in an event of `GET /fleet/events`. */
export function showFreshness(freshness) {
  if (!freshness) return;
  latest = freshness;
  receivedAt = performance.now();
  show();
}

// the age that is shown grows while no event comes
setInterval(() => latest !== null && show(), AGE_MILLISECONDS);
