"""One screening, sealed and signed: its route, its encryption, and the checks that need no secret."""
