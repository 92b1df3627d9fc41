"""Chaos: arm exits, break everything while prices cross, then hold three ledgers against each other."""
