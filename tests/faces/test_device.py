"""The device that was asked for is the one that is used, or the server does not start."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from gerbang_service.configuration.settings import STAND_IN
from gerbang_service.domain.errors import StartupError
from gerbang_service.faces.packs import open_pack, require_device
from running import RunningServer, StartRefused

needs_no_gpu = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)


@needs_no_gpu
def test_a_missing_device_is_refused(data: Path) -> None:
    """`serve --device cuda` without CUDA ends with status 3 and says what to install."""
    with pytest.raises(StartRefused, match="install onnxruntime-gpu") as refused:
        RunningServer(data, "--pack", "stand-in", "--device", "cuda")
    assert refused.value.returncode == 3


def test_a_session_that_fell_back_is_refused() -> None:
    """A session that runs on the CPU where CUDA was asked for is an error."""
    session = open_pack(STAND_IN, 160).detector.session
    require_device(session, "cpu")
    with pytest.raises(StartupError, match="fell back to CPUExecutionProvider"):
        require_device(session, "cuda")
