"""Trust, registry, keyrings, enrolment of tablets, and orders to tablets."""
