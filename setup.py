"""Builds the distribution in a temporary folder; every other setting is in setup.cfg.

By default setuptools leaves `build/` and `chaski.egg-info/` in the checkout, and the next wheel takes deleted modules
from there. This file must not declare what the distribution contains.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile

from setuptools import setup

scratch = tempfile.mkdtemp(prefix="chaski-build-")
atexit.register(shutil.rmtree, scratch, ignore_errors=True)
setup(options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}})
