"""Takes in sync requests: who speaks, which envelopes are stored, what is missing."""
