"""Webhooks: who asked for it is told of a report's end. See docs/design/webhooks.md."""
