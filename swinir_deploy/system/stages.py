"""Tell which stage of a long work has begun, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tqdm import tqdm

__all__ = ["Stages"]


class Stages:
    """The stages of one work, told as a line each, with a bar for the steps of a stage.

    Without ``say`` nothing is told, so that functions can count their steps in any case. Use it in
    a ``with`` block, which removes the bar at the end.
    """

    def __init__(
        self,
        say: Callable[[str], None] | None = None,
        *,
        total: int = 0,
        bar: bool | None = False,
    ) -> None:
        """Make the stages; nothing is told yet.

        Args:
            say: called with a line such as ``[2/5] Proving in fp16 on 13 pictures`` when a stage
                begins; None tells nothing.
            total: number of all stages; 0 leaves the numbers out.
            bar: whether to show a progress bar on stderr; None shows it if stderr is a terminal.
        """
        self._say = say
        self._total = total
        self._disable = True if say is None else None if bar is None else not bar
        self._number = 0
        self._bar: tqdm[Any] | None = None

    def begin(self, name: str, steps: int = 0) -> None:
        """End the stage before, and begin one.

        Args:
            name: what is done, such as ``Checking against PyTorch at 7 shapes``.
            steps: how often :meth:`step` will be called.
        """
        self.close()
        self._number += 1
        if self._say is not None:
            number = f"[{self._number}/{self._total}] " if self._total else ""
            self._say(f"{number}{name} ...")
        if steps > 1:
            self._bar = tqdm(total=steps, disable=self._disable, leave=False)

    def step(self) -> None:
        """Note that one step of this stage is done."""
        if self._bar is not None:
            self._bar.update()

    def close(self) -> None:
        """Remove the bar of the last stage."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
