"""The reference tablet: its durable store, its documents, its drafts, its talk with the server."""
