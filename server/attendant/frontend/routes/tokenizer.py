"""The words of what routes lead to: those of its model, if it is one."""

from __future__ import annotations

from attendant.core.context import CallContext, current_call
from attendant.frontend.routes.routing import Routes
from attendant.frontend.tokenizer import HasWords, TokenizerService, Words
from attendant.models.lookup import Wanted
from attendant.models.table import Finder


class RoutedTokenizer(TokenizerService):
    """The tokenizers of models, and of what routes lead to if it is one model."""

    def __init__(self, models: Finder[HasWords], routes: Routes) -> None:
        super().__init__(models)
        self._routes = routes

    def _words(self, model: str, wanted: Wanted) -> Words:
        route = self._routes.find(model)
        if route is not None:
            model, _ = self._routes.one_model(route, current_call() or CallContext.new(), wanted.field)
        return super()._words(model, wanted)
