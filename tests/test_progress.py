"""How far the runs are, and the time that is left."""

import io

import pytest

from book.tools.runs.progress import Bars, Lines, time_left

COSTS = {"a": 100.0, "b": 100.0, "c": 50.0}


def test_on_a_machine_as_fast_as_the_accepted_one_the_rest_is_the_accepted_time():
    assert time_left(COSTS, {}, {}, cores=1) == 250
    assert time_left(COSTS, {"a": 100.0}, {"b": 40.0}, cores=1) == pytest.approx(60 + 50)
    assert time_left(COSTS, {}, {}, cores=2) == 125
    assert time_left(COSTS, {}, {}, cores=10) == 100, "never less than the longest run"


def test_the_rest_follows_the_pace_of_this_run():
    slow = time_left(COSTS, {"a": 300.0}, {}, cores=1)
    assert slow == pytest.approx(150 * (300 + 30) / (100 + 30))
    assert time_left(COSTS, {"a": 20.0}, {}, cores=1) < 100


def test_a_run_past_its_time_slows_all_that_is_left():
    """It stood at "35 s" for minutes while every run took ten times as long."""
    left = [time_left(COSTS, {}, {"a": elapsed}, cores=1) for elapsed in (200.0, 400.0, 800.0)]
    assert left == sorted(left) and left[0] > 150 * 2 and left[2] > 150 * 8


def test_all_done_leaves_nothing():
    assert time_left(COSTS, dict.fromkeys(COSTS, 1.0), {}, cores=2) == 0


def test_a_log_gets_a_line_for_each_change_only(capsys):
    with Lines(3) as display:
        display.show([], {"a": 0.0}, COSTS, 250.0)
        display.show([], {"a": 0.3}, COSTS, 249.0)
        display.show(["a"], {"b": 0.0}, COSTS, 150.0)
        display.show(["a", "b (failed)", "c"], {}, COSTS, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "  0 of 3 done; running: a; about 250 s left",
        "  1 of 3 done; running: b; about 150 s left",
        "  3 of 3 done",
    ]


def test_a_terminal_gets_a_bar_of_each_running_paper_and_of_all():
    from rich.console import Console

    display, out = Bars(3), io.StringIO()
    display.progress.live.console = Console(file=out, force_terminal=True, width=100)
    with display:
        display.show([], {"a": 50.0, "b": 500.0}, COSTS, 250.0)
        tasks = {task.description: task for task in display.progress.tasks}
        assert set(tasks) == {"all", "a", "b"}
        assert tasks["a"].percentage == 50 and 90 < tasks["b"].percentage < 100, "past its time, and not done"
        assert 0 < tasks["all"].completed < 2 and "about 250 s left" in tasks["all"].fields["words"]
        display.show(["a (failed)"], {"b": 501.0}, COSTS, 100.0)
        assert {task.description for task in display.progress.tasks} == {"all", "b"}
    assert "a (failed)" in out.getvalue()
