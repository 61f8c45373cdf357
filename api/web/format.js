// Numbers, lengths and instants as people read them. Instants are milliseconds since 1970; a
// `local` is the clock of a store (zones.js).

import { UTC } from "./zones.js";

const NUMBER = new Intl.NumberFormat("en");
const MINUTE = 60_000;

const formats = new Map();

/** What the clock shows is formatted as UTC: the browser's own tables of zones are not asked. */
function format(instant, local, options) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) {
    const settings = { ...options, timeZone: "UTC", hourCycle: "h23" };
    formats.set(key, new Intl.DateTimeFormat("en-GB", settings));
  }
  return formats.get(key).format(local.wall(instant));
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DAY = { weekday: "short", day: "numeric", month: "short" };

export const number = (value) => NUMBER.format(value);

export const plural = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** As a sentence, whether or not it was written as one. */
export const sentence = (text) => capital(text) + (/[.!?]$/.test(text) ? "" : ".");

/** "07:00" on that clock. */
export const clock = (instant, local) => format(instant, local, CLOCK);

/** "Sun 07:00" on that clock. */
export const weekdayClock = (instant, local) =>
  `${format(instant, local, { weekday: "short" })} ${clock(instant, local)}`;

/** "Sun 10 Mar" on that clock. */
export const day = (instant, local) => format(instant, local, DAY).replace(",", "");

/** "Sun 10 Mar, 07:00" on that clock. */
export const dayClock = (instant, local) => `${day(instant, local)}, ${clock(instant, local)}`;

/** "07:00", or with the day where that is another one. */
export const since = (instant, now, local) =>
  day(instant, local) === day(now, local) ? clock(instant, local) : dayClock(instant, local);

/** "10 Mar 2024, 12:00 UTC". */
export function utc(instant) {
  const date = format(instant, UTC, { day: "numeric", month: "short", year: "numeric" });
  return `${date}, ${clock(instant, UTC)} UTC`;
}

/** "3 h 20 min"; below a minute in seconds. */
export function length(milliseconds) {
  if (milliseconds > 0 && milliseconds < MINUTE) return `${Math.round(milliseconds / 1000)} s`;
  const minutes = Math.round(milliseconds / MINUTE);
  if (minutes < 60) return `${minutes} min`;
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  return rest ? `${number(hours)} h ${rest} min` : `${number(hours)} h`;
}

/** How long before `now`, in one unit: "12 min ago". */
export function ago(instant, now) {
  const minutes = Math.floor((now - instant) / MINUTE);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return `${number(Math.floor(minutes / 1440))} days ago`;
}

/** A share of 1 in per cent, never rounded up to a whole that it is not. */
export function percent(share) {
  if (share === null) return "–";
  const tenths = Math.floor(share * 1000 + 1e-9);
  if (share === 0 || share === 1) return `${100 * share}%`;
  return `${(tenths / 10).toFixed(1)}%`;
}

/** Of the time that counts, how much was up; null where no time counts. */
export const uptimeShare = (up, down) => (up + down > 0 ? up / (up + down) : null);
