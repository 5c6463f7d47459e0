"""A text encoder with its head as one module over packed or padded rows."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from attendant.bundle.graph_io import (
    EMBEDDING,
    PICKED_LOGITS,
    PICKED_TOKENS,
    ROW_LOGITS,
    TOKEN_EMBEDDINGS,
    TOKEN_LOGITS,
    PackedRows,
    PaddedRows,
    Port,
    grouped,
)

from attendant_export.encoders.attention import EncoderAttention, PaddedView
from attendant_export.encoders.ends import end_logits, end_token
from attendant_export.encoders.trace import Feeds
from attendant_export.errors import UnsupportedModel

HeadKind = Literal["row_logits", "token_logits", "spans", "chosen_logits", "token_embeddings", "row_embedding"]
Layout = Literal["packed", "padded"]
_OUTPUTS: dict[HeadKind, Port] = {
    "row_logits": ROW_LOGITS,
    "token_logits": TOKEN_LOGITS,
    "spans": TOKEN_LOGITS,
    "chosen_logits": PICKED_LOGITS,
    "token_embeddings": TOKEN_EMBEDDINGS,
    "row_embedding": EMBEDDING,
}
_STACKS = ("encoder", "transformer")


@dataclass(frozen=True)
class Form:
    """How the rows go through a model.

    Attributes:
        layout: of the graph's inputs.
        fused: attention calls our function.
        masked: the model gets the mask of the padded view though its tokens are packed, for heads that average.
        inside: the model gets padded tokens and only its stack of layers runs packed, for heads that read the tokens.
    """

    layout: Layout
    fused: bool = True
    masked: bool = False
    inside: bool = False


@dataclass(frozen=True)
class TextHead:
    """What of a model's output the graph gives.

    Attributes:
        kind: ``row_logits`` [rows, labels]; ``token_logits`` and ``spans`` (start, end) for each token;
            ``chosen_logits`` of the tokens that logits_index names; ``token_embeddings``; ``row_embedding`` [rows,
            size].
        fixed_length: every row is filled up to this many tokens, which are attended to as any other.
    """

    kind: HeadKind
    fixed_length: int | None = None

    @property
    def output(self) -> Port:
        """The graph's output where its rows are packed."""
        return _OUTPUTS[self.kind]

    @property
    def by_row(self) -> bool:
        """Whether the output has one row for each row of input, and not for each token."""
        return self.kind in ("row_logits", "row_embedding")

    def of(self, output: Any) -> torch.Tensor:
        """The wanted tensor of a model's output."""
        if self.kind == "spans":
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        if self.kind == "token_embeddings":
            return _hidden(output)
        if self.kind == "row_embedding":
            projected = getattr(output, "text_embeds", None)
            tensor: torch.Tensor = output.pooler_output if projected is None else projected
            return tensor
        logits: torch.Tensor = output.logits
        return logits


class TextModule(torch.nn.Module):  # type: ignore[misc]
    """An :class:`~attendant_export.encoders.trace.EncoderModule` for the inputs of
    :class:`attendant.bundle.EncoderManifest`."""

    def __init__(self, model: Any, head: TextHead, form: Form, pad_id: int) -> None:
        super().__init__()
        self.model = model
        self.head = head
        self.form = form
        self.pad_id = pad_id
        self.attention = EncoderAttention(str(model.config.model_type))
        self.end = end_token(model)
        self.takes = frozenset(inspect.signature(model.forward).parameters)

    def forward(self, feeds: Feeds) -> torch.Tensor:
        """Shapes and dtypes as in :class:`attendant.bundle.EncoderManifest`."""
        if self.form.layout == "padded":
            return self._padded(feeds)
        rows: PackedRows[torch.Tensor] = grouped(PackedRows, feeds)
        view = PaddedView(rows.pad_index, rows.unpad_index, rows.attention_mask)
        self.attention.start(view)
        index = feeds.get(PICKED_TOKENS.logits_index.name)
        with self._around_stack(view), self._picked(index, view if self.form.inside else None):
            output = self.head.of(self.model(**self._packed_keywords(rows, view)))
        if self.head.by_row or index is not None:
            return output
        return (view.pack(output) if self.form.inside else output)[0]

    def _padded(self, feeds: Feeds) -> torch.Tensor:
        rows: PaddedRows[torch.Tensor] = grouped(PaddedRows, feeds)
        mask = rows.attention_mask
        keywords = {"input_ids": rows.input_ids, "attention_mask": mask}
        if rows.token_type_ids is not None and "token_type_ids" in self.takes:
            keywords["token_type_ids"] = rows.token_type_ids
        if self.head.fixed_length is not None:
            filled = torch.where(mask != 0, keywords["input_ids"], self.pad_id)
            missing = self.head.fixed_length - mask.shape[1]
            keywords = {"input_ids": torch.nn.functional.pad(filled, (0, missing), value=self.pad_id)}
        self.attention.start(padding=keywords.get("attention_mask"))
        with self._picked(feeds.get(PICKED_TOKENS.logits_index.name), None):
            if self.head.kind == "row_logits" and self.end is not None:
                return end_logits(self.model, self.end, keywords)
            return self.head.of(self.model(**keywords))

    def _packed_keywords(self, rows: PackedRows[torch.Tensor], view: PaddedView) -> dict[str, torch.Tensor]:
        tokens = {"input_ids": rows.input_ids}
        if rows.token_type_ids is not None:
            tokens["token_type_ids"] = rows.token_type_ids
        elif "token_type_ids" in self.takes:
            # Models look their default up in a table of as many places as a row may have.
            tokens["token_type_ids"] = torch.zeros_like(rows.input_ids)
        if self.form.inside:
            padded = {name: view.pad(ids[..., None])[..., 0] for name, ids in tokens.items() if name in self.takes}
            padded["input_ids"] = torch.where(view.mask != 0, padded["input_ids"], self.pad_id)
            return {**padded, "attention_mask": view.mask}
        if "position_ids" in self.takes:
            tokens["position_ids"] = rows.position_ids
        if self.form.masked:
            tokens["attention_mask"] = view.mask
        return {name: value for name, value in tokens.items() if name in self.takes}

    @contextmanager
    def _around_stack(self, view: PaddedView) -> Iterator[None]:
        """Packs what goes into the stack of layers, and gives its output back padded, where the form or head asks."""
        if not (self.form.inside or self.head.by_row):
            yield
            return

        def before(
            module: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            name = next((name for name in ("hidden_states", "inputs_embeds") if name in keywords), None)
            if name is not None:
                return arguments, {**keywords, name: view.pack(keywords[name])}
            return (view.pack(arguments[0]), *arguments[1:]), keywords

        def after(module: torch.nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
            hidden = view.pad(_hidden(output))
            if isinstance(output, torch.Tensor):
                return hidden
            if isinstance(output, tuple):
                return (hidden, *output[1:])
            output["last_hidden_state"] = hidden
            return output

        stack = self._stack()
        handles = [stack.register_forward_hook(after)]
        if self.form.inside:
            handles.append(stack.register_forward_pre_hook(before, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _picked(self, index: torch.Tensor | None, view: PaddedView | None) -> Iterator[None]:
        """Only the tokens of ``index`` reach the product with the vocabulary."""
        if index is None:
            yield
            return

        def pick(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            hidden, *rest = arguments
            hidden = hidden if view is None else view.pack(hidden)
            return (hidden.flatten(0, 1).index_select(0, index), *rest)

        vocabulary = self.model.get_output_embeddings()
        if vocabulary is None:
            raise UnsupportedModel(
                self.attention.architecture, "it has no product with the vocabulary to fill masks by"
            )
        handle = vocabulary.register_forward_pre_hook(pick)
        try:
            yield
        finally:
            handle.remove()

    def _stack(self) -> Any:
        """The stack of layers: what stands between the embeddings and whatever reads rows as a whole."""
        names = [name for name, _ in self.model.named_modules() if name.rpartition(".")[2] in _STACKS]
        if names:
            return self.model.get_submodule(min(names, key=lambda name: name.count(".")))
        if self.form.inside:
            raise UnsupportedModel(self.attention.architecture, "its layers are not a module of their own")
        return self.model.base_model


def _hidden(output: Any) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    hidden: torch.Tensor = output[0] if isinstance(output, tuple) else output["last_hidden_state"]
    return hidden
