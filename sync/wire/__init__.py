"""What travels, before it means anything: base64url, strict JSON, typed members."""
