"""The sync request and its response, the tablet's HTTP client, and the staff session."""
