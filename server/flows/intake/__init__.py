"""Processes sync requests: authenticates the tablet, stores its envelopes, finds missing numbers."""
