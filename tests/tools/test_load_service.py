"""The load test of the service, small: nothing is lost or mixed up, and it can fail."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")

TOOL = Path(__file__).parents[2] / "tools" / "load_service.py"


@pytest.mark.slow
def test_many_clients_get_what_restore_writes(tmp_path: Path) -> None:
    words = [sys.executable, TOOL, "--pictures", 72, "--clients", 24, "-o", tmp_path / "load.json"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "load.json").read_text())
    assert report["statuses"] == {"200": 72}
    assert report["lost"] == 0 and report["wrong"] == [] and report["exit_code"] == 0


def test_another_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("load_service", TOOL)
    assert spec is not None and spec.loader is not None
    tool: Any = importlib.util.module_from_spec(spec)
    sys.modules["load_service"] = tool
    spec.loader.exec_module(tool)

    class Connection:
        status = 200

        def __init__(self, *_: Any, **__: Any) -> None: ...
        def request(self, *_: Any) -> None: ...
        def close(self) -> None: ...

        def getresponse(self) -> Any:
            return self

        def read(self) -> bytes:
            return b"another"

    monkeypatch.setattr(tool.http.client, "HTTPConnection", Connection)
    load = tool.Load(0, {"a": b"x"}, {"a": b"wanted"}, ["a", "a"])
    load.client()
    assert len(load.wrong) == 2 and load.statuses[200] == 2
