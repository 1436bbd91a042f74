"""Stages of a long work as lines."""

from swinir_deploy.system.stages import Stages


def test_a_line_for_each_stage_with_its_number():
    lines = []
    with Stages(lines.append, total=2) as stages:
        stages.begin("Measuring", 3)
        for _ in range(3):
            stages.step()
        stages.begin("Proving")
    assert lines == ["[1/2] Measuring ...", "[2/2] Proving ..."]


def test_without_a_listener_nothing_is_told(capsys):
    with Stages() as stages:
        stages.begin("Measuring", 3)
        stages.step()
    assert capsys.readouterr() == ("", "")


def test_the_bar_counts_the_steps_and_goes_away(capsys):
    stages = Stages(lambda line: None, bar=True)
    stages.begin("Measuring", 4)
    stages.step()
    stages.close()
    assert "/4" in capsys.readouterr().err
