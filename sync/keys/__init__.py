"""Key pairs, key files with an optional passphrase, and the six words that people compare."""
