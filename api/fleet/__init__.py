"""The fleet as it is now by HTTP: the live view, its event stream and badges."""
