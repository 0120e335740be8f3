"""Patches the processes of a test: in the one fault that CHASKI_SABOTAGE names, and quick passphrases if wanted.

Without the variables it does nothing. Python imports a module of this name at start if its folder is in PYTHONPATH.
tests/test_flow_sabotage.py, tests/test_flow_demo_cut_off.py and tests/test_project_bench.py start programs with it.
"""

import os

if os.environ.get("QUICK_PASSPHRASES"):
    # A demo derives keys from eighteen passphrases, each for a quarter of a second on purpose.
    from sync.keys import passphrases

    derive_slowly = passphrases.Argon2id
    passphrases.Argon2id = lambda **said: derive_slowly(**said | {"iterations": 1, "memory_cost": 64})  # type: ignore[assignment]

if wanted := os.environ.get("CHASKI_SABOTAGE"):
    import faults

    getattr(faults, wanted)()
