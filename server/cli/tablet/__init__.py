"""Commands for inspectors (a tablet) and for registrars (admit, revoke, wipe tablets)."""
