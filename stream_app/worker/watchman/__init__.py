"""The watchman: at regular intervals a worker recomputes some stores' figures from the topics.

It computes them with `stream_app.explain`, which shares no code with the rest of the product. So a
figure that is wrong because of a fault in this product, a disk or a broker is reported within days.
"""
