"""Webhooks: a receiver is called when a report has ended. See docs/design/webhooks.md."""
