"""How far the runs are: live bars on a terminal, lines in a log, and the time that is left at this run's own pace."""

from __future__ import annotations

import time

WEIGHT = 30.0  # seconds of accepted runs that the pace starts with, so that one short run does not set it


def time_left(costs: dict[str, float], took: dict[str, float], running: dict[str, float], cores: int) -> float:
    """Seconds until all runs are done, if the rest goes at the pace of what this run has done so far.

    Args:
        costs: run -> seconds that its accepted run took, of every run. took: run -> seconds, of those that ended here.
        running: run -> seconds since it began. cores: how many run at once.
    """
    pace = (sum(took.values()) + WEIGHT) / (sum(costs[name] for name in took) + WEIGHT)
    # A run that is past its time says that the machine is slower than what has ended so far tells.
    pace = max([pace, *(elapsed / max(costs[name], 1.0) for name, elapsed in running.items())])
    left = {name: cost * pace for name, cost in costs.items() if name not in took}
    for name, elapsed in running.items():
        left[name] = max(left[name] - elapsed, 0.1 * left[name])
    return max(sum(left.values()) / cores, max(left.values(), default=0.0))


class Lines:
    """A line whenever a run starts or ends, and every half minute."""

    def __init__(self, total: int):
        self.total, self.shown, self.printed = total, None, 0.0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def show(self, done: list[str], running: dict[str, float], costs: dict[str, float], rest: float | None) -> None:
        """Args: names of the runs that ended; seconds of those that run; accepted seconds of all; seconds left or None."""
        state, now = (tuple(done), tuple(running)), time.monotonic()
        if state == self.shown and now - self.printed <= 30:
            return
        names = f"; running: {', '.join(running)}" if running else ""
        tail = f"; about {rest:.0f} s left" if rest else ""
        print(f"  {len(done)} of {self.total} done{names}{tail}", flush=True)
        self.shown, self.printed = state, now


class Bars:
    """A bar of all runs, and one of each that runs, against the time of its accepted run."""

    def __init__(self, total: int):
        from rich.progress import BarColumn, Progress, TextColumn

        self.progress = Progress(TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
        self.total, self.tasks, self.ended = total, {}, 0

    def __enter__(self):
        self.progress.start()
        self.all = self.progress.add_task("all", total=self.total, words="")
        return self

    def __exit__(self, *error):
        self.progress.stop()

    def show(self, done: list[str], running: dict[str, float], costs: dict[str, float], rest: float | None) -> None:
        """Args: names of the runs that ended; seconds of those that run; accepted seconds of all; seconds left or None."""
        for name in done[self.ended :]:
            self.progress.console.print(f"  {name}", highlight=False)
        self.ended = len(done)
        for name in [name for name in self.tasks if name not in running]:
            self.progress.remove_task(self.tasks.pop(name))
        for name, elapsed in running.items():
            if name not in self.tasks:
                self.tasks[name] = self.progress.add_task(name, total=costs[name], words="")
            # Past its accepted time the bar stands just before its end: it is not done.
            self.progress.update(
                self.tasks[name],
                completed=min(elapsed, 0.97 * costs[name]),
                words=f"{elapsed:.0f} of about {costs[name]:.0f} s",
            )
        # What runs counts by its share, so that the bar of all moves too.
        share = sum(min(elapsed / costs[name], 0.97) for name, elapsed in running.items())
        words = f"{len(done)} of {self.total}" + (f", about {rest:.0f} s left" if rest else "")
        self.progress.update(self.all, completed=len(done) + share, words=words)
