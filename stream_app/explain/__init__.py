"""Reports recomputed: what one claims, what the topics say, and whether the two agree."""
