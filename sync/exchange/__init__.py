"""One sync request and its answer, HTTP as the tablet speaks it, and a person's session."""
