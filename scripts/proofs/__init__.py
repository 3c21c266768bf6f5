"""Proofs that can be run: what README says of clusters, servers and schedulers, done on loopback."""
