"""The watchman: now and then a worker recomputes some stores' figures from the topics.

It uses the arithmetic of `stream_app.explain`, which shares no code with the product's. A figure
that a fault of this product, of its disk or of its broker has changed is therefore reported within
days instead of never.
"""
