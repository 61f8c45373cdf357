-- The seven columns of all stores from three CSV files, in one pass over the polls. See README.md beside it.
-- Every time is in µs; a "cell" is a minute counted back from the reference time, 1 to 10080.

SET TimeZone = 'UTC';

CREATE TEMP TABLE polls AS
SELECT store_id, status, timestamp_utc AS polled
FROM read_csv(getvariable('status_file'), header = true, auto_detect = false, delim = ',', quote = '"',
              columns = {'store_id': 'UUID', 'status': 'VARCHAR', 'timestamp_utc': 'TIMESTAMPTZ'}, ignore_errors = true);

SET VARIABLE reference = (SELECT epoch_us(max(polled)) FROM polls WHERE lower(trim(status)) IN ('active', 'inactive'));
SET VARIABLE week_start = getvariable('reference') - 7 * 86400000000;

CREATE TEMP TABLE business_hours AS
SELECT store_id, weekday, start_time, end_time
FROM read_csv(getvariable('hours_file'), header = true, auto_detect = false, delim = ',', quote = '"',
              columns = {'store_id': 'UUID', 'weekday': 'INTEGER', 'start_time': 'VARCHAR', 'end_time': 'VARCHAR'},
              ignore_errors = true);

CREATE TEMP TABLE zones AS
SELECT store_id, timezone_str
FROM read_csv(getvariable('zones_file'), header = true, auto_detect = false, delim = ',', quote = '"',
              columns = {'store_id': 'UUID', 'timezone_str': 'VARCHAR'}, ignore_errors = true);

CREATE MACRO micros_of_day(text) AS
    split_part(text, ':', 1)::BIGINT * 3600000000 + split_part(text, ':', 2)::BIGINT * 60000000
    + round(coalesce(nullif(split_part(text, ':', 3), ''), '0')::DECIMAL(18, 6) * 1000000)::BIGINT;

-- the number of cells that begin at this time or later
CREATE MACRO cells_since(instant) AS
    least(greatest(getvariable('reference') - instant, 0) // 60000000, 10080);

-- cells of an interval (low, high] that are in the newest `width` ones and in another interval
CREATE MACRO shared(low, high, other_low, other_high, width) AS
    greatest(0, least(high, other_high, width) - greatest(low, other_low));

COPY (
    WITH
    -- the offsets of local clocks at every quarter of an hour: clocks change at these times only
    instants AS (
        SELECT unnest(range(getvariable('week_start') // 900000000, getvariable('reference') // 900000000 + 1)) * 900000000
               AS instant
    ),
    known_zones AS (
        SELECT DISTINCT coalesce(name, getvariable('default_zone')) AS zone
        FROM zones LEFT JOIN pg_timezone_names() ON name = timezone_str
        UNION SELECT getvariable('default_zone')
    ),
    offsets AS (
        SELECT zone, instant, epoch_us(timezone(zone, make_timestamptz(instant))) - instant AS utc_offset
        FROM known_zones, instants
    ),
    segments AS (
        SELECT zone, utc_offset, instant AS since,
               lead(instant, 1, getvariable('reference')) OVER (PARTITION BY zone ORDER BY instant) AS until
        FROM (SELECT *, lag(utc_offset) OVER (PARTITION BY zone ORDER BY instant) AS before FROM offsets)
        WHERE before IS DISTINCT FROM utc_offset
    ),
    stores AS (
        SELECT store_id, coalesce(any_value(name), getvariable('default_zone')) AS zone
        FROM (SELECT DISTINCT store_id FROM polls UNION SELECT store_id FROM business_hours UNION SELECT store_id FROM zones)
             LEFT JOIN zones USING (store_id)
             LEFT JOIN pg_timezone_names() ON name = timezone_str
        GROUP BY store_id
    ),
    -- business hours as intervals of a local day; hours over midnight are two intervals
    readings AS (
        SELECT store_id, weekday, micros_of_day(trim(start_time)) AS opens,
               CASE micros_of_day(trim(end_time)) WHEN 86399999999 THEN 86400000000 ELSE micros_of_day(trim(end_time)) END
               AS closes
        FROM business_hours
    ),
    local_hours AS (
        SELECT store_id, weekday, opens, CASE WHEN opens > closes THEN 86400000000 ELSE closes END AS closes
        FROM readings WHERE opens <> closes
        UNION ALL
        SELECT store_id, (weekday + 1) % 7, 0, closes FROM readings WHERE opens > closes AND closes > 0
    ),
    local_days AS (
        SELECT day * 86400000000 AS midnight, (day + 3) % 7 AS weekday  -- 1970-01-01 was a Thursday
        FROM (SELECT unnest(range(getvariable('week_start') // 86400000000 - 1,
                                  getvariable('reference') // 86400000000 + 2)) AS day)
    ),
    opened AS (
        SELECT store_id, cells_since(least(midnight + closes - utc_offset, until)) AS low,
               cells_since(greatest(midnight + opens - utc_offset, since)) AS high
        FROM local_hours JOIN local_days USING (weekday) JOIN stores USING (store_id) JOIN segments USING (zone)
        WHERE midnight + opens - utc_offset < until AND midnight + closes - utc_offset > since
        UNION ALL
        SELECT store_id, 0, 10080 FROM stores ANTI JOIN business_hours USING (store_id)
    ),
    -- the hours in several rows of a day are united
    islands AS (
        SELECT *, sum((reach IS NULL OR low > reach)::INTEGER) OVER (PARTITION BY store_id ORDER BY low, high) AS island
        FROM (SELECT *, max(high) OVER (PARTITION BY store_id ORDER BY low, high
                                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach
              FROM opened WHERE low < high)
    ),
    open_intervals AS (
        SELECT store_id, min(low) AS low, max(high) AS high FROM islands GROUP BY store_id, island
    ),
    -- a poll counts from the first cell at its time or later until the next poll; of two at the same time inactive counts
    recent AS (
        SELECT store_id, epoch_us(polled) AS instant, lower(trim(status)) = 'active' AS active
        FROM polls
        WHERE epoch_us(polled) BETWEEN getvariable('week_start') - getvariable('lookback') AND getvariable('reference')
              AND lower(trim(status)) IN ('active', 'inactive')
    ),
    changes AS (
        SELECT * FROM (
            SELECT store_id, instant, active,
                   lag(active) OVER (PARTITION BY store_id ORDER BY instant, active DESC) AS before
            FROM recent
        ) WHERE before IS DISTINCT FROM active
    ),
    active_intervals AS (
        SELECT * FROM (
            SELECT store_id, active, cells_since(instant) AS high,
                   cells_since(lead(instant, 1, getvariable('reference'))
                               OVER (PARTITION BY store_id ORDER BY instant, active DESC)) AS low
            FROM changes
        ) WHERE active AND low < high
    ),
    open_cells AS (
        SELECT store_id, sum(shared(low, high, low, high, 60)) AS hour, sum(shared(low, high, low, high, 1440)) AS day,
               sum(high - low) AS week
        FROM open_intervals GROUP BY store_id
    ),
    up_cells AS (
        SELECT store_id, sum(shared(o.low, o.high, a.low, a.high, 60)) AS hour,
               sum(shared(o.low, o.high, a.low, a.high, 1440)) AS day,
               sum(shared(o.low, o.high, a.low, a.high, 10080)) AS week
        FROM open_intervals AS o JOIN active_intervals AS a USING (store_id)
        WHERE o.low < a.high AND a.low < o.high
        GROUP BY store_id
    )
    SELECT store_id,
           coalesce(u.hour, 0) AS uptime_last_hour,
           round(coalesce(u.day, 0) / 60, 2) AS uptime_last_day,
           round(coalesce(u.week, 0) / 60, 2) AS uptime_last_week,
           coalesce(o.hour, 0) - coalesce(u.hour, 0) AS downtime_last_hour,
           round((coalesce(o.day, 0) - coalesce(u.day, 0)) / 60, 2) AS downtime_last_day,
           round((coalesce(o.week, 0) - coalesce(u.week, 0)) / 60, 2) AS downtime_last_week
    FROM stores LEFT JOIN open_cells AS o USING (store_id) LEFT JOIN up_cells AS u USING (store_id)
    ORDER BY store_id
) TO (getvariable('output_file')) (HEADER, DELIMITER ',');
