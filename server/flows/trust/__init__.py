"""Trust, registry, keyrings, enrolment of tablets and the orders to them."""
