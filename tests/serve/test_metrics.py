from __future__ import annotations

import re

from refmaker.serve.metrics import Metrics


def test_text() -> None:
    metrics = Metrics()
    metrics.record(200, "", 100, 0.002)
    metrics.record(502, "source", 10, 40.0)
    text = metrics.text(7)
    assert re.search(r'refmaker_requests_total\{pid="\d+",status="502",cause="source"\} 1\n', text)
    assert re.search(r'bucket\{pid="\d+",le="0.0025"\} 1\n', text)
    assert re.search(r'bucket\{pid="\d+",le="30.0"\} 1\n', text)
    assert re.search(r'bucket\{pid="\d+",le="\+Inf"\} 2\n', text)
    assert re.search(r"sent_bytes_total\{.*\} 110\n", text)
    assert re.search(r"held_bytes\{.*\} 7\n", text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+\{[^}]*\} [-+0-9.e]+", line) for line in lines)
