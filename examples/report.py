"""Polls in, a report out, with Python's standard library alone.

Usage: python examples/report.py [API [STORE_ID]]
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from typing import Any

API = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
STORE = sys.argv[2] if len(sys.argv) > 2 else "97dd66d5-660c-48eb-8b5a-792c529ec4dd"


# --8<-- [start:report]
def call(method: str, path: str, body: Any = None, accept: str = "*/*") -> tuple[int, bytes]:
    """An answer's status and body; one that is busy (429, 503) is asked again when it says."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Accept": accept}
    request = urllib.request.Request(API + path, data, headers, method=method)
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                raise SystemExit(f"{method} {path}: {error.code} {error.read().decode()}") from None
            time.sleep(int(error.headers["Retry-After"]))


polls = [("14:00:00", "active"), ("16:00:00", "inactive"), ("17:30:00", "active")]
# many polls at once; what is refused is listed, and refuses no other
_, counted = call(
    "POST",
    "/status",
    [
        {"store_id": STORE, "status": status, "timestamp_utc": f"2024-03-11T{at}Z"}
        for at, status in polls
    ],
)
print(counted.decode(), file=sys.stderr)

_, asked = call("POST", f"/trigger_report/{STORE}", {"reference_time": "2024-03-11T20:00:00Z"})
report = f"/get_report/{json.loads(asked)['report_id']}"
while (answer := call("GET", report))[0] == 202:
    time.sleep(0.1)
print(answer[1].decode(), end="")
# --8<-- [end:report]
