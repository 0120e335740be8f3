"""Python imports this module by name when it starts with this folder in PYTHONPATH: it patches in the one fault that
CHASKI_SABOTAGE names, and without it does nothing. tests/test_flow_sabotage.py starts the demo with it."""

import os

if wanted := os.environ.get("CHASKI_SABOTAGE"):
    import faults

    getattr(faults, wanted)()
