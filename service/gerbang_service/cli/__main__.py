"""`python -m gerbang_service.cli`: the same as `gerbang`, for where the script is not on the path."""

from __future__ import annotations

from gerbang_service.cli import main

if __name__ == "__main__":
    main()
