"""The documentation page of the settings, made of the settings themselves: `python -m ...cli.settings_page`."""

from __future__ import annotations

import dataclasses

from gerbang_service.configuration.settings import Settings

_HEAD = """# Configuration

Settings of `gerbang serve`. `det_size` is `--det-size` on the command line, `GERBANG_DET_SIZE` in the environment and
`det_size` in the TOML file named by `--config` or `GERBANG_CONFIG`. This page is made by `make docs`.

| setting | default | meaning |
|---|---|---|
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    rows = [
        f"| `{field.name}` | {_default(field.default)} | {field.metadata['help']} |"
        for field in dataclasses.fields(Settings)
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _default(value: object) -> str:
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == "":
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


if __name__ == "__main__":
    print(settings_page(), end="")
