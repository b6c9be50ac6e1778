"""README.md: what it asks with curl is answered by a server as it is started there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders import PUBLISHED
from tests.documents import blocks_of
from tests.server.calls import connected, messages_of
from tests.server.processes import server_process

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_asks_with_curl_and_is_answered(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt install curl")
    text = README.read_text("utf-8")
    starting, asking = blocks_of(text[text.index("### JSON over HTTP") : text.index("## Python")])
    listen, address = "LOTTERY_HTTP_LISTEN=127.0.0.1:8080", "http://127.0.0.1:8080/"
    assert listen in starting.text
    assert asking.text.count(address) == asking.text.count("curl ")

    with server_process(tmp_path, http_listen="127.0.0.1:0") as server:
        with connected(server.port) as stubs:
            stubs.lottery.RunLottery(iter(messages_of(PUBLISHED)))
        here = address.replace("8080", str(server.serving["http_port"]))
        done = subprocess.run(
            ["bash", "-ec", asking.text.replace(address, here)],  # noqa: S607 - bash is everywhere.
            capture_output=True,
            check=False,
            text=True,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    seed, end = json.JSONDecoder().raw_decode(done.stdout)
    runs = json.loads(done.stdout[end:])
    assert (seed["seed"]["composite"], seed["seed"]["fraction"]) == ("282431310", "0.4314")
    assert [run["run"] for run in runs["runs"]] == ["2024-09-16-001"]
