"""The demo: a server, its people and one story told on real parts."""
