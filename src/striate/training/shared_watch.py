"""A watch over several processes: what the leader's decides, all of them do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from striate.training.checkpoint import pack_state, unpack_state
from striate.training.events import Measurement
from striate.training.state import TrainingState
from striate.training.team import Team
from striate.training.watch import NotFiniteError, Watch


class SharedWatch:
    """Wraps the leader's `Watch`; in the others there is none, and they do as the leader does.

    The leader alone looks at its clock, at signals, and at whether numbers are finite; it alone
    writes and speaks. After each of these methods all processes have its clocks, and where it goes
    back to a checkpoint, they go there too. Where it ends with an error, it ends them all.

    Args:
        team: The processes.
        watch: The leader's; None in the others.
    """

    def __init__(self, team: Team, watch: Watch | None) -> None:
        self._team = team
        self._watch = watch

    def tick(self, state: TrainingState, *, training: bool) -> None:
        """Add the time since the last tick to the state's clocks."""
        with self._agreed(state):
            if self._watch is not None:
                self._watch.tick(state, training=training)

    def after_step(self, state: TrainingState) -> None:
        """Do what is to be done after a step; see `Watch.after_step`."""
        with self._agreed(state):
            if self._watch is not None:
                self._watch.after_step(state)

    def heed_signals(self, state: TrainingState) -> None:
        """Save and stop, where that is asked for; see `Watch.heed_signals`."""
        with self._agreed(state):
            if self._watch is not None:
                self._watch.heed_signals(state)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint; see `Watch.save`."""
        with self._agreed(state):
            if self._watch is not None:
                self._watch.save(state)

    def go_back(self, state: TrainingState, reason: str) -> None:
        """Return to the last checkpoint with half the learning rate; see `Watch.go_back`."""
        if self._watch is not None:
            self._watch.go_back(state, reason)
        share_state(self._team, state)

    def measured(self, measurement: Measurement) -> None:
        """Write a measurement down, and tell it."""
        if self._watch is not None:
            self._watch.measured(measurement)

    @contextmanager
    def _agreed(self, state: TrainingState) -> Iterator[None]:
        reason: str | None = None
        try:
            yield
        except NotFiniteError as error:
            reason = str(error)
        state.wall, state.step_time, failed = self._team.from_leader(
            [state.wall, state.step_time, float(reason is not None)]
        )
        if failed:
            raise NotFiniteError(reason)


def share_state(team: Team, state: TrainingState) -> None:
    """Give all processes the leader's state, to the last bit."""
    tensors, document = pack_state(state)
    document, tensors = team.broadcast(document, tensors)
    if not team.leads:
        unpack_state(state, tensors, document)
