"""Which values labels may have: nobody's calls make series, and a server of very many models makes only so many."""

from __future__ import annotations

MOST_MODELS = 256
"""Names of models that have series of their own while a server runs, those that it has unloaded included."""

UNKNOWN = ""  # calls that name no model of this server share one series, whatever they name
OTHER = "_other"  # what models beyond the limit share; no bundle may be called so


class ModelNames:
    """The values of the label ``model_name``. Whoever writes a name into a label asks here first.

    A name that a caller made up is counted as UNKNOWN. The first ``most`` models have a value each; those loaded after
    them share OTHER. Every other label has a few fixed values: tasks, ends, errors.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: set[str] = set()

    def add(self, model: str) -> str:
        """The value for a model that is loaded, now or again."""
        if len(self._own) < self._most:
            self._own.add(model)
        return self.of(model)

    def of(self, model: str) -> str:
        """The value for a name of a call: empty, or that of a model that was found."""
        if model in self._own:
            return model
        return OTHER if model and len(self._own) >= self._most else UNKNOWN
