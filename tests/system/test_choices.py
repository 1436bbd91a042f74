"""Messages about names that are not known."""

from __future__ import annotations

import pytest

from swinir_deploy.system.choices import did_you_mean, near_match, unknown_choice


def test_the_message_lists_the_choices_and_the_nearest() -> None:
    message = unknown_choice("precision", "fp61", ("fp32", "fp16", "bf16"))
    assert message == ("Unknown precision 'fp61'. Choose fp32, fp16 or bf16. Did you mean 'fp16'?")


@pytest.mark.parametrize(
    ("choices", "listed"), [(["a"], "Choose a."), (["a", "b"], "Choose a or b.")]
)
def test_few_choices(choices: list[str], listed: str) -> None:
    assert unknown_choice("letter", "xyz", choices) == f"Unknown letter 'xyz'. {listed}"


def test_case_does_not_matter() -> None:
    assert near_match("ORTT", ("ort", "torch")) == "ort"
    assert near_match("cudaexecutionprovider", ("CUDAExecutionProvider",)) is not None
    assert did_you_mean("nothing like it", ("ort", "torch")) == ""
