from pathlib import Path

import pytest

from tasks.common import machine


def test_a_processor_without_bf16_is_told_from_one_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPU_FLAGS", flags)
    assert not machine.cpu_has_bf16()
    flags.write_text("flags : fpu avx2 avx512f\n")
    assert not machine.cpu_has_bf16()
    flags.write_text("flags : fpu avx2 avx512_bf16\n")
    assert machine.cpu_has_bf16()


def test_the_processor_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(machine, "CPU_FLAGS", flags)
    assert machine.processor()
    flags.write_text("processor : 0\nmodel name\t: Some Chip\nmodel name\t: Another\n")
    assert machine.processor() == "Some Chip"
