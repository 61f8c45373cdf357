#!/usr/bin/env bash
# Polls in, a report out, with curl alone. Usage: examples/report.sh [API [STORE_ID]]
set -euo pipefail
api=${1:-http://127.0.0.1:8000}
store=${2:-97dd66d5-660c-48eb-8b5a-792c529ec4dd}
json='Content-Type: application/json'

# --8<-- [start:feed]
# what the store says of itself: its hours, its timezone, some polls
curl -sSf -X PUT "$api/stores/$store/business_hours" -H "$json" \
  -d '{"hours": [[0,"09:00","17:00"],[1,"09:00","17:00"],[2,"09:00","17:00"],[3,"09:00","17:00"],[4,"09:00","17:00"]]}'
curl -sSf -X PUT "$api/stores/$store/timezone" -H "$json" -d '{"timezone_str": "America/Chicago"}'
curl -sSf -X POST "$api/status" -H 'Content-Type: application/x-ndjson' --data-binary @- <<POLLS
{"store_id": "$store", "status": "active", "timestamp_utc": "2024-03-11T14:00:00Z"}
{"store_id": "$store", "status": "inactive", "timestamp_utc": "2024-03-11T16:00:00Z"}
{"store_id": "$store", "status": "active", "timestamp_utc": "2024-03-11T17:30:00Z"}
POLLS
# --8<-- [end:feed]
echo

# --8<-- [start:report]
# ask, follow it to its end, fetch it
ask() { curl -sSf -X POST "$api/trigger_report/$store" -H "$json" -d "$1" | sed 's/.*"report_id":"\([^"]*\)".*/\1/'; }
finish() { curl -sSfN "$api/reports/$1/events" >/dev/null; curl -sSf "$api/get_report/$1"; }

echo '# hour, day and week'
finish "$(ask '{"reference_time": "2024-03-11T20:00:00Z"}')"
echo '# one day, in exact seconds'
finish "$(ask '{"end": "2024-03-12T05:00:00Z", "duration": "P1D", "daily": true, "exact": true}')"
# --8<-- [end:report]

# --8<-- [start:views]
span='from=2024-03-11T14:00:00Z&to=2024-03-11T20:00:00Z'
echo '# open or closed, active, inactive or unknown'
curl -sSf "$api/stores/$store/timeline?$span"
echo
echo '# incidents'
curl -sSf "$api/stores/$store/incidents?$span"
# --8<-- [end:views]
echo
