"""The worker: a Faust application that keeps every store's facts and answers report requests."""
