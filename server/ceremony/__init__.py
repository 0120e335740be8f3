"""Founds a server and distributes its keys. It wraps keyrings, so the serving process must not import it."""
