"""Carrying out what people ask of a run while it is going."""

from __future__ import annotations

from flambe.check.changes import faults_of_change
from flambe.errors import CannotChangeError
from flambe.experiment.control.extending import problem_of_extending
from flambe.experiment.control.requests import Mailbox, Request
from flambe.experiment.expanding import Expanding
from flambe.experiment.flow import Flow
from flambe.experiment.ingredients import Change, Ingredients, Update
from flambe.experiment.journal import TrialRecord
from flambe.experiment.roster import Roster
from flambe.trials.changing import changed
from flambe.trials.protocol import Failed, TrialKey


class Control:
    """Answers each request once it has taken effect, or cannot.

    What takes a trial's next step to do is under way until the engine tells what came of it; further
    requests for the trial wait so long.
    """

    def __init__(self, ingredients: Ingredients, roster: Roster, flow: Flow, expanding: Expanding) -> None:
        self._in = ingredients
        self._roster = roster
        self._flow = flow
        self._expanding = expanding
        self._mailbox = Mailbox(ingredients.folder.storage, ingredients.folder.journal)
        self._underway: dict[TrialKey, Request] = {}
        self._running: set[TrialKey] = set()
        self._trying: set[TrialKey] = set()
        self._actions = {
            "stop": self._stop,
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
        }

    def poll(self, *, now: bool = False) -> None:
        """Carry out what has been asked since the last call."""
        if self._roster.stopping:
            return
        for request in self._mailbox.look(now=now):
            if request.action == "extend":
                self._extend(request)
            else:
                self._act(request)

    # -- requests -------------------------------------------------------------------------------------------

    def _act(self, request: Request) -> None:
        key = TrialKey(request.stage, request.variant or "")
        record = self._roster.records.get(key)
        if key in self._underway:
            return
        if record is None:
            self._refuse(request, f"the run has no trial {key.stage}/{key.variant}")
        elif record.ended_well or record.withdrawn:
            self._refuse(request, f"it has ended already ({record.status})")
        elif record.status == "failed":
            self._refuse(request, f"it has failed: {record.error}")
        else:
            self._actions[request.action](request, record)

    def _stop(self, request: Request, record: TrialRecord) -> None:
        key = record.key
        if key in self._roster.active:
            self._underway[key] = request
            self._in.executor.stop(key)
        elif record.started is None:
            self._flow.withdraw(record)
            self._tell("ended", record)
            self._done(request, "before it began")
            self._expanding.expand()
        elif record.error is not None:
            self._refuse(request, record.error)
        else:  # its checkpoint is loaded, to be saved as what has come of it
            self._underway[key] = request
            if record.paused_by is not None:
                self._release(record, request.user)
            if key in self._roster.active:
                self._in.executor.stop(key)

    def _pause(self, request: Request, record: TrialRecord) -> None:
        if record.paused_by is not None:
            self._done(request, f"already, by {record.paused_by}")
        elif record.key in self._roster.active:
            self._underway[record.key] = request
            self._in.executor.leave(record.key)
        else:
            self._hold(request, record)

    def _resume(self, request: Request, record: TrialRecord) -> None:
        if record.paused_by is None:
            self._refuse(request, f"nobody has paused it; it is {record.status}")
            return
        self._release(record, request.user)
        self._done(request, f"from step {record.step} on")

    def _set(self, request: Request, record: TrialRecord) -> None:
        key, stage = record.key, self._in.stages[record.key.stage]
        node = stage.space.resolve(self._roster.variants[key])
        try:
            before = changed(node, record.changes, self._in.registry)
            after = changed(before, request.values, self._in.registry)
        except CannotChangeError as error:
            self._refuse(request, str(error))
            return
        faults = faults_of_change(before, after, self._in.registry)
        if faults:
            self._refuse(request, "; ".join(faults))
            return
        if key in self._roster.active:
            self._underway[key] = request
            self._in.executor.leave(key)
        else:
            self._change_unseen(request, record)

    def _extend(self, request: Request) -> None:
        if request.id in self._in.folder.extended:
            self._done(request)  # the run was killed before it could say so
            return
        problem = problem_of_extending(self._in.stages, request.stage, request.samples)
        if problem is not None:
            self._refuse(request, problem)
            return
        assert request.samples is not None
        self._in.folder.extend(request.stage, request.samples, user=request.user, request=request.id)
        self._expanding.extend(self._in.stages[request.stage], request.samples)
        self._done(request)

    # -- what the engine tells ------------------------------------------------------------------------------

    def started(self, record: TrialRecord) -> None:
        """The trial steps from now on."""
        key = record.key
        self._running.add(key)
        request = self._underway.get(key)
        if request is None:
            return
        if request.action == "stop":
            self._in.executor.stop(key)
        elif key in self._trying:
            self._roster.change(record, request.values, origin=request.user, unproven=True)
            self._tell("changed", record)
            self._done(request, f"from step {record.step} on")

    def waits(self, record: TrialRecord) -> bool:
        """The trial waits for others; whether it had left, and waits before it goes on."""
        if record.key in self._running:
            return False
        if record.key in self._trying:
            self._change_unseen(self._underway[record.key], record)
        return True

    def left(self, record: TrialRecord, step: int | None) -> bool:
        """The trial has left; whether that was asked for by someone, and is taken care of."""
        if record.key in self._running and step is not None:
            record.proven = None  # its checkpoint holds the new values
        self._running.discard(record.key)
        request = self._underway.get(record.key)
        if request is None or request.action == "stop":
            return False
        if request.action == "pause":
            self._hold(request, record)
            return True
        if self._roster.stopping:  # a resume finds the request where it is
            return False
        if step is None:
            self._change_unseen(request, record)
            self._roster.submit(record.key)
        else:
            self._try(request, record)
            self._roster.waiting.add(record.key)
            self._roster.submit(record.key, ahead=True)
        return True

    def ended(self, record: TrialRecord) -> None:
        """The trial has ended well, or was stopped before it began."""
        self._running.discard(record.key)
        request = self._underway.get(record.key)
        if request is None:
            return
        if request.action == "stop" and record.status == "stopped":
            self._done(request, "before it began" if record.withdrawn else f"after step {record.step}")
        else:
            self._refuse(request, f"it has ended by itself meanwhile ({record.status})")

    def failed(self, record: TrialRecord, event: Failed) -> bool:
        """The trial has failed; whether new values are to blame, and it goes on with the old ones.

        They are if it has done no step with them, unless it was its worker that died.
        """
        self._running.discard(record.key)
        if event.lost or record.proven is None:
            return False
        self._roster.take_back(record, event.error)
        self._in.observe(Update("unchanged", record.key.stage, record, why=event.error))
        if record.key in self._trying:
            self._refuse(self._underway[record.key], event.error)
        elif not self.tried_again(record):
            return True
        if record.started is not None:
            self._roster.waiting.add(record.key)
        self._roster.submit(record.key, ahead=True)
        return True

    def tried_again(self, record: TrialRecord) -> bool:
        """The trial has failed and would be tried again; False if it is to be paused instead."""
        request = self._underway.get(record.key)
        if request is not None and request.action == "pause":
            self._hold(request, record)
            return False
        if request is not None and request.action == "set" and record.key not in self._trying:
            self._try(request, record)
        return True

    def gave_up(self, record: TrialRecord) -> None:
        """The trial has failed for good."""
        if (request := self._underway.get(record.key)) is not None:
            self._refuse(request, f"it has failed: {record.error}")

    # -- how it is done -------------------------------------------------------------------------------------

    def _hold(self, request: Request, record: TrialRecord) -> None:
        self._roster.hold(record, request.user)
        self._tell("paused", record)
        self._done(request, f"after step {record.step}" if record.step else "before its first step")

    def _release(self, record: TrialRecord, user: str) -> None:
        if record.started is not None:
            self._roster.waiting.add(record.key)
        self._roster.let_go(record, user)
        self._tell("resumed", record)
        if self._flow.may_go(record.key):
            self._roster.ready(record.key, ahead=True)

    def _try(self, request: Request, record: TrialRecord) -> None:
        """The trial begins with new values; whether its stage takes them is known when it has started."""
        self._trying.add(record.key)
        if record.proven is None:
            record.proven = record.changes
        record.changes = {**record.changes, **request.values}

    def _change_unseen(self, request: Request, record: TrialRecord) -> None:
        """New values for a trial that is not being run: it gets them when it goes on."""
        self._roster.change(record, request.values, origin=request.user, unproven=True)
        self._tell("changed", record)
        self._done(request, "when it goes on" if record.started else "when it begins")

    def _done(self, request: Request, how: str = "") -> None:
        self._forget(request)
        self._mailbox.answer(request, why=how)

    def _refuse(self, request: Request, why: str) -> None:
        self._forget(request)
        self._mailbox.answer(request, refused=True, why=why)

    def _forget(self, request: Request) -> None:
        key = TrialKey(request.stage, request.variant or "")
        self._underway.pop(key, None)
        self._trying.discard(key)

    def _tell(self, change: Change, record: TrialRecord) -> None:
        self._in.observe(Update(change, record.key.stage, record))
