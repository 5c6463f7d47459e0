"""The one error tree. No transport words here: rpc/status.py maps each class to a gRPC code.

AttendantError
├── InvalidRequest          the caller's request breaks a rule; names the field, the value and what is allowed
│   ├── TooLarge            it is larger than the server reads
│   └── ContextExceeded     its prompt leaves no room for an answer
├── ModelNotFound           no such model; names the ones that exist
├── ModelFailed             the model could not be loaded; says why
├── NotAllowed              the operator has closed this kind of call
├── NotOffered              the contract has this call, and this server does not do it
├── StreamNeeded            the answer comes in parts, and the call takes only one
├── Unauthenticated         the call does not say who makes it, or not so that it can be believed
├── NotPermitted            whoever makes the call may not do this
├── Overloaded              there is too much work for one more request; says when to try again
│   ├── QueueFull           every place for a waiting request is taken
│   └── WouldBeLate         the request would not be answered in the time that it has
├── DeadlineExceeded        the caller's time ran out before the answer was complete
├── RequestCancelled        the caller went away or asked to stop
├── Unavailable             this server cannot take or finish the request now
│   ├── Draining            the server is shutting down
│   └── EngineDead          the model's engine has stopped
├── StepFailed              the model run that carried this request failed
└── ConfigurationError      the operator's input is wrong (settings, flags, files)
    ├── BundleError         a bundle is missing a file, corrupt, or made for something else
    ├── DeviceOutOfMemory   a device has less memory than a model needs
    ├── DeviceFailed        a call of a device's driver failed
    └── MemoryTaken         other models hold the memory that a model needs
"""


class AttendantError(Exception):
    """Base of every error that Attendant raises on purpose. ``str(error)`` is safe to show to a caller.

    Every error of the tree can be pickled and copied, whatever its constructor takes; its ``__cause__`` stays behind.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[AttendantError], args: tuple[object, ...], attributes: dict[str, object]) -> AttendantError:
    """An error as it was, without its constructor, which may take something else than the message."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class InvalidRequest(AttendantError):
    """A request breaks a rule.

    Args:
        field: the offending field, as the room that raises this calls it, e.g. ``top_p``, or ``inputs[2]``. Where the
            wire has it elsewhere (``sampling.top_p``), what skins the wire says so.
        reason: what was wrong and what is allowed, e.g. ``is 1.5; allowed: greater than 0, at most 1``.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason

    def renamed(self, field: str) -> "InvalidRequest":
        """The same error about the field as somebody else calls it."""
        return type(self)(field, self.reason)


class TooLarge(InvalidRequest):
    """A request is larger than the server reads."""


class ContextExceeded(InvalidRequest):
    """A prompt has more tokens than the model's context length leaves room for."""


_SHOWN_NAME = 200
"""Characters of a name that a message shows: a longer one would push out what follows."""


def _shown(name: str) -> str:
    quoted = repr(name)
    return quoted if len(quoted) <= _SHOWN_NAME + 2 else f"{quoted[:_SHOWN_NAME]}...'"


class ModelNotFound(AttendantError):
    """The request names a model that this server does not have, or names none and there is none for its ``task``.

    ``failed``: names of models that it has and cannot serve. ``stored``: the request is about models that are to be
    loaded, and ``available`` has them.
    """

    def __init__(
        self,
        name: str,
        available: tuple[str, ...],
        task: str | None = None,
        failed: tuple[str, ...] = (),
        *,
        stored: bool = False,
    ) -> None:
        listed = ", ".join(repr(n) for n in available) or "none"
        if failed:
            listed += f"; not served: {', '.join(map(repr, failed))}"
        if name:
            what = f"no model named {_shown(name)} is loaded"
        elif task:
            what = f"no model for task {task!r} is loaded"
        else:
            what = "no model is named, and there is not just one"
        told = f"{what}; loaded models: {listed}"
        if stored:
            told = f"the repository has no model named {_shown(name)}; it has {listed}"
        super().__init__(told)
        self.name = name
        self.available = available


class ModelFailed(AttendantError):
    """The server has the model's bundle and cannot serve it, for ``cause``, until an operator mends that."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(f"model {_shown(name)} is not served: {cause}")
        self.name = name
        self.cause = cause


class NotAllowed(AttendantError):
    """The operator has not opened this kind of call; the message names the setting that would."""


class NotOffered(AttendantError):
    """A call of somebody else's contract that this server does not do; the message says what there is instead."""


class StreamNeeded(AttendantError):
    """The request asks for an answer in parts, by a call that takes only one; the message says what to call instead."""


class Unauthenticated(AttendantError):
    """The call does not say who makes it, or not so that it can be believed; the message says what is missing."""


class NotPermitted(AttendantError):
    """Whoever makes the call is known, and may not do this; the message names what would permit it."""


class Overloaded(AttendantError):
    """There is too much work for one more request; nothing of it was begun. ``retry_after_s`` is an estimate of when it
    would be taken, in seconds."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(f"{message}; retry in {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """The model's queue is full. ``retry_after_s`` says about when a place is free; ``what``: the limit counts."""

    def __init__(self, model: str, limit: int, retry_after_s: float, what: str = "requests") -> None:
        super().__init__(
            f"model {model!r} already holds {limit} {what} (running and waiting), which is its limit", retry_after_s
        )
        self.model = model
        self.limit = limit


class WouldBeLate(Overloaded):
    """The request would not be answered in the time that it has.

    Args:
        what: would come too late: "the first token", "the end of the answer", "the result".
        predicted_s, limit_s: when it would come, and when it has to, both from the request's arrival, in seconds.
    """

    def __init__(self, model: str, what: str, predicted_s: float, limit_s: float, retry_after_s: float) -> None:
        super().__init__(
            f"model {model!r} is busy: {what} would come {predicted_s:.3f} s after the request, which allows "
            f"{limit_s:.3f} s",
            retry_after_s,
        )
        self.model, self.what, self.predicted_s, self.limit_s = model, what, predicted_s, limit_s


class DeadlineExceeded(AttendantError):
    """The request's deadline passed while it was waiting or running."""


class RequestCancelled(AttendantError):
    """The caller cancelled the request or its connection closed."""


class Unavailable(AttendantError):
    """The server cannot take or finish the request now; another replica may. ``retry_after_s``: when this one may, in
    seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Draining(Unavailable):
    """The server is shutting down: it takes no new requests and ends those that outlive the drain limit."""


class EngineDead(Unavailable):
    """The engine of the model has stopped after an internal error."""

    @classmethod
    def of(cls, model: str) -> "EngineDead":
        """What ends every call to ``model`` from then on."""
        return cls(f"the engine of model {model!r} has stopped after an internal error")


class StepFailed(AttendantError):
    """The model run that carried this request raised; only the requests of that step are affected."""


class ConfigurationError(AttendantError):
    """The operator's input is wrong: a setting, a flag or a file."""


class BundleError(ConfigurationError):
    """A bundle cannot be used. The message names the file and the cause."""

    def __init__(self, path: object, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = str(path)
        self.cause = cause


class DeviceOutOfMemory(ConfigurationError):
    """A device has less memory free than something needs. Sizes in bytes; ``needed`` is None where it is unknown."""

    def __init__(self, index: int, needed: int | None, free: int, total: int, purpose: str = "an allocation") -> None:
        amount = "more" if needed is None else f"{needed / 1e9:.2f} GB"
        super().__init__(
            f"GPU {index} is out of memory: {purpose} needs {amount}, {free / 1e9:.2f} GB of "
            f"{total / 1e9:.2f} GB are free"
        )
        self.index, self.needed, self.free, self.total = index, needed, free, total


class DeviceFailed(ConfigurationError):
    """A call of a device's driver failed. While a server starts, its operator hears of it; in a run it is one of the
    errors of that run."""


class MemoryTaken(ConfigurationError):
    """A model needs memory that others hold. Sizes in bytes; ``held`` of each model, by name."""

    def __init__(self, model: str, memory: str, needed: int, left: int, held: tuple[tuple[str, int], ...]) -> None:
        listed = ", ".join(f"{name!r} holds {size:,}" for name, size in held)
        super().__init__(f"model {model!r} needs {needed:,} bytes on {memory}; {left:,} are left: {listed}")
        self.model, self.memory, self.needed, self.left, self.held = model, memory, needed, left, held
