"""The signed documents of the protocol: each is made, read and accepted in its own module."""
