"""The staff API: what coordinators, authors, administrators and their programs call, with a session."""
