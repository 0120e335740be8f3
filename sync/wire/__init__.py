"""Encodings below the level of documents: base64url, strict JSON, typed members."""
