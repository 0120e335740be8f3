"""One screening, sealed and signed: route, seal, and the checks that need no key."""
