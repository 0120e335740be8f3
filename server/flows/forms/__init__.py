"""A form version from its draft to its rollout, and the tables that it uses."""
