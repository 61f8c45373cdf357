// Where a timeline's intervals lie on the 24 hours of each local day.

import { partsOf } from "./shares.js";
import { LocalClock } from "./zones.js";

const DAY = 86_400_000;

/** The parts of a span before and after a change of the clock: each is one straight bar. */
function straightParts(start, end, local) {
  const change = local.change(start, end);
  return change === null ? [[start, end]] : [[start, change], [change, end]];
}

function bar(start, end, local) {
  const from = local.timeOfDay(start) / DAY;
  // the end of the day is 24:00, not 00:00
  const to = (local.timeOfDay(end - 1) + 1) / DAY;
  return { from, to: Math.max(from, to) };
}

/**
 * A row a local day: `{start, end, isWhole, uptimeMinutes, downtimeMinutes, coverage, parts, segments}`;
 * `parts` as `partsOf` gives them.
 *
 * A segment is the part of an interval that lies in the day: `{start, end, open, status,
 * countedAs, bars}`, with one bar `{from, to}` in shares of 24 hours, or two where the clock was
 * changed within it.
 */
export function timelineRows({ utc_offsets: offsets, intervals, days }) {
  const local = new LocalClock(offsets);
  const spans = intervals.map((interval) => ({
    ...interval,
    start: Date.parse(interval.start),
    end: Date.parse(interval.end),
  }));
  let first = 0;
  return days.map((day) => {
    const [start, end] = [Date.parse(day.start), Date.parse(day.end)];
    while (first < spans.length && spans[first].end <= start) first += 1;
    const segments = [];
    for (let index = first; index < spans.length && spans[index].start < end; index += 1) {
      const span = spans[index];
      const [from, to] = [Math.max(span.start, start), Math.min(span.end, end)];
      const bars = straightParts(from, to, local).map(([one, other]) => bar(one, other, local));
      segments.push({
        start: from,
        end: to,
        open: span.open,
        status: span.status,
        countedAs: span.counted_as,
        bars,
      });
    }
    return {
      start,
      end,
      isWhole: day.whole_day ?? true,
      uptimeMinutes: day.uptime_minutes,
      downtimeMinutes: day.downtime_minutes,
      coverage: day.coverage,
      parts: partsOf(day),
      segments,
    };
  });
}
