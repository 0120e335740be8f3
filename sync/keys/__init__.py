"""Key pairs, key files locked with a passphrase, and the six words that people compare."""
