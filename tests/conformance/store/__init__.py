"""The store's suite: every truth of `ports.catalog` and `ports.ledger`, by subject, over every store.

A change of behaviour goes here, never into a test of one store alone.
"""
