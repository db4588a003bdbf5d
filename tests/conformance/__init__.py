"""Proofs from outside: suites, vectors and advisories of others."""
