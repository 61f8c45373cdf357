// Wall clocks of time zones, from the browser's own tables.

const HOUR = 3_600_000;

const usable = new Map();
const clocks = new Map();

/** The zone, or UTC where the browser does not know it. */
export function usableZone(zone) {
  if (!usable.has(zone)) {
    let known = zone;
    try {
      new Intl.DateTimeFormat("en", { timeZone: zone });
    } catch {
      known = "UTC";
    }
    usable.set(zone, known);
  }
  return usable.get(zone);
}

function clockOf(zone) {
  if (!clocks.has(zone)) {
    const fields = { hour: "numeric", minute: "numeric", second: "numeric" };
    const date = { year: "numeric", month: "numeric", day: "numeric" };
    const settings = { ...date, ...fields, timeZone: usableZone(zone), hourCycle: "h23" };
    clocks.set(zone, new Intl.DateTimeFormat("en", settings));
  }
  return clocks.get(zone);
}

/** What the zone's clock shows, as if it were UTC. */
export function wallClock(instant, zone) {
  const parts = {};
  for (const { type, value } of clockOf(zone).formatToParts(instant)) parts[type] = Number(value);
  const { year, month, day, hour, minute, second } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) + (((instant % 1000) + 1000) % 1000);
}

/** Milliseconds from the local midnight to what the clock shows. */
export function timeOfDay(instant, zone) {
  return ((wallClock(instant, zone) % (24 * HOUR)) + 24 * HOUR) % (24 * HOUR);
}

const offset = (instant, zone) => wallClock(instant, zone) - instant;

/** The instant within the span at which the clock is changed, or null. At most one a day. */
export function clockChange(start, end, zone) {
  const before = offset(start, zone);
  if (offset(end, zone) === before) return null;
  let [low, high] = [start, end];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offset(middle, zone) === before) low = middle;
    else high = middle;
  }
  return high;
}
