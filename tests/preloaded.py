"""What the process has imported that `gerbang` is forked from in tests: the server, face packs, and all commands.

None of it begins a thread. It is frozen: the garbage collector of no forked process goes through it again, which would
write to all of it, and be most of the end of a short command.
"""

from __future__ import annotations

import gc
from importlib import import_module

import gerbang_service.cli.root
import gerbang_service.faces.pipeline
import gerbang_service.faces.standin.pack
import gerbang_service.running.server

# `demo` and those that ask a server are run by tests in their own process, or from scratch.
for _command in ("audit", "backup", "check", "doctor", "key", "serve", "token"):
    import_module(f"gerbang_service.cli.{gerbang_service.cli.root._MODULES[_command]}")
gc.collect()
gc.freeze()
