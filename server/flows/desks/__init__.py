"""Referrals: routing, queues, states, and the work list."""
