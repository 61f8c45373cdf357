"""Reports by HTTP: triggered, fetched, followed by events, compared with today's figures."""
