"""Patches in the one fault that CHASKI_SABOTAGE names; without the variable it does nothing.

Python imports a module of this name at start if its folder is in PYTHONPATH. tests/test_flow_sabotage.py starts the
demo with it.
"""

import os

if wanted := os.environ.get("CHASKI_SABOTAGE"):
    import faults

    getattr(faults, wanted)()
