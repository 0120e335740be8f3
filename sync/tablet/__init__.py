"""The reference tablet: its durable store, its signed documents, its drafts, and its client of the sync API."""
