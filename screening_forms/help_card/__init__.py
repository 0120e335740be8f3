"""The neutral help card of a region: what is on it, and how it is laid out on one sheet."""
