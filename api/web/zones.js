// The local time of a store, from the UTC offsets in the API's answers: browsers differ in their
// timezone tables, and old ones lack the newest changes.

const HOUR = 3_600_000;

/** Instants are milliseconds since 1970; what the clock shows is written as if it were UTC. */
export class LocalClock {
  #offsets;

  /** @param offsets `utc_offsets` of an answer; none of them: UTC. */
  constructor(offsets = []) {
    this.#offsets = offsets.map(({ start, offset_seconds: seconds }) => ({ start: Date.parse(start), offset: 1000 * seconds }));
  }

  /** The clock that shows `text`, such as "2024-03-10T07:00:00-05:00", for as long as it keeps its offset. */
  static showing(text) {
    const match = /([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text ?? "");
    if (!match) return UTC;
    const [, sign, hours, minutes, seconds = 0] = match;
    const offset = (sign === "-" ? -1 : 1) * (3600 * hours + 60 * minutes + Number(seconds));
    return new LocalClock([{ start: "1970-01-01T00:00:00Z", offset_seconds: offset }]);
  }

  /** False if no offset is known, so that it shows UTC. */
  get isKnown() {
    return this.#offsets.length > 0;
  }

  /** What the clock shows. */
  wall(instant) {
    const last = this.#offsets.findLast(({ start }) => start <= instant) ?? this.#offsets[0];
    return instant + (last?.offset ?? 0);
  }

  /** Milliseconds from the local midnight to what the clock shows. */
  timeOfDay(instant) {
    return ((this.wall(instant) % (24 * HOUR)) + 24 * HOUR) % (24 * HOUR);
  }

  /** The instant within the span at which the clock is changed, or null. At most one a day. */
  change(start, end) {
    return this.#offsets.slice(1).find((other) => start < other.start && other.start < end)?.start ?? null;
  }
}

export const UTC = new LocalClock();
