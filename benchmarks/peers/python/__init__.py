"""Modules that the peers in Python share; each peer runs in an environment of its own."""
