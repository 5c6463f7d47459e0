"""Whom the server listens to: certificates, tokens, who calls and what they may do. It knows of no protocol."""
