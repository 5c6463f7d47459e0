"""An export, whatever the model is: plan, write, verify, seal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from attendant.bundle import TOKENIZER_FILE, Manifest, Origin

from attendant_export.attention.choice import add_attention
from attendant_export.calibration_file import check_calibration
from attendant_export.drafts import Common, Draft, M, Order, Subject, Written
from attendant_export.errors import AttentionError, ParityError
from attendant_export.recipe import Recipe
from attendant_export.toolchain import exporter_version, versions
from attendant_export.words.known_tokens import unknown_tokens
from attendant_export.writer import bundle_folder, file_entries, write_manifest


def export(subject: Subject[M], recipes: Sequence[Recipe], order: Order) -> M:
    """Makes a bundle of ``subject`` and returns its manifest.

    Args:
        recipes: the first is taken; where ``order.max_kl`` is given, the first that is faithful enough.

    Raises:
        ExportError: see :mod:`attendant_export.errors`; nothing is left at or beside the bundle's place.
    """
    for line in unknown_tokens(subject.tokenizer_json, subject.known_ids):
        order.tell(line)
    check_calibration(order.calibration, subject.encode)
    drafts = subject.drafts(recipes, order)
    if order.max_kl is None:
        return make_bundle(next(drafts), subject.tokenizer_json, order)
    return _fastest(drafts, subject.tokenizer_json, order)


def make_bundle(draft: Draft[M], tokenizer_json: str | None, order: Order) -> M:
    """Writes, verifies and seals; the bundle is at its place when it is whole.

    Raises:
        ExportError: see :func:`export`.
    """
    with bundle_folder(order.out, overwrite=order.overwrite) as folder:
        written = draft.write(folder)
        if tokenizer_json is not None:
            (folder / TOKENIZER_FILE).write_text(tokenizer_json, encoding="utf-8")
        with order.progress("verify"):
            parity = draft.verify(folder, written)
        common = Common(
            name=order.name,
            target=draft.recipe.target,
            precision=draft.recipe.precision,
            recipe=(*order.quantised, *order.merged, *written.recipe),
            graphs=written.graphs,
            files={},
            parity=parity,
            source=order.source or Origin(id=order.name, versions=versions()),
            exporter_version=exporter_version(),
        )
        manifest = draft.manifest(written, common)
        manifest = cast(M, manifest.model_copy(update={"warnings": (*order.warnings, *manifest.warnings)}))
        manifest = _with_attention(draft, folder, manifest, written, order)
        with order.progress("seal"):
            manifest = cast(M, manifest.model_copy(update={"files": file_entries(folder)}))
            write_manifest(folder, manifest)
    return manifest


def _with_attention(draft: Draft[M], folder: Path, manifest: M, written: Written, order: Order) -> M:
    """The same with graphs that give the model's attention, as it was ordered."""
    if order.attention == "none":
        return manifest
    look = draft.look(written)
    if look is None:
        reason = "nothing looks into models that read what this one does"
        if order.attention != "auto":
            raise AttentionError(f"{manifest.name} cannot give its attention: {reason}; allowed: auto, none")
        order.tell(f"no attention: {reason}")
        return manifest
    with order.progress("attention") as step:
        added = add_attention(folder, manifest, look, order.attention, order.tell, step)
    if added is None:
        return manifest
    changed = {"graphs": {**manifest.graphs, **added.graphs}, "attention": added.section}
    return cast(M, manifest.model_copy(update=changed))


def _fastest(drafts: Iterable[Draft[M]], tokenizer_json: str | None, order: Order) -> M:
    """The first of ``drafts`` that is faithful enough. Raises ParityError: none is; names what was measured of each."""
    refused = []
    for draft in drafts:
        precision = draft.recipe.precision
        try:
            manifest = make_bundle(draft, tokenizer_json, order)
        except ParityError as error:
            refused.append(f"{precision}: {error}")
            order.tell(f"{precision}: not faithful enough: {error}")
            continue
        order.tell(f"{precision}: {_measured(manifest)}; taken")
        return manifest
    raise ParityError("no precision is faithful enough: " + "; ".join(refused))


def _measured(manifest: Manifest) -> str:
    parity = manifest.parity
    if parity.fidelity is not None:
        return f"KL {parity.fidelity.kl:.5f} nats a token"
    if parity.vectors is not None:
        return f"cosine {parity.vectors.cosine:.5f}"
    return f"cosine {parity.cosine:.5f}"
