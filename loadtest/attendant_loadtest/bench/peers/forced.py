"""A bundle over given tokens, with the logits of every position: its own graphs in the server's own sessions.

``python -m attendant_loadtest.bench.peers.forced BUNDLE`` reads lines of JSON with ``windows`` [rows, n], token ids,
and ``reference``, a file of logits [rows, n, vocabulary], and answers each with the fidelity of prompts and decodes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from attendant.bundle import read_manifest
from attendant.bundle.graph_io import LOGITS, SLOT_CACHE, RaggedInputs, SlotInputs, by_name
from attendant.models.generators import load_generator
from attendant.settings import EngineSettings

from attendant_loadtest.bench.peers.fidelity import Fidelity, Tally, following

Array = npt.NDArray[Any]


class Forced:
    """A bundle whose KV cache is in slots, with one for each of ``num_rows`` texts of up to ``length`` tokens."""

    def __init__(self, bundle: Path, num_rows: int, length: int) -> None:
        manifest = read_manifest(bundle)
        settings = EngineSettings(max_num_seqs=num_rows, max_context_length=length, spinning=False)
        runner: Any = load_generator(bundle, manifest, settings, verify=False).engines[0]._runner
        self._decodes, self._prompts = runner._session, runner._prompt_session
        self._vocab_size = manifest.vocab_size
        self._cache: dict[tuple[str, str], Array] = {}  # by the names of input and output
        for number, names in enumerate(SLOT_CACHE.names(len(manifest.kv_layers))):
            layer = manifest.kv_layers[number // 2]
            self._cache[names] = np.zeros((num_rows, layer.num_kv_heads, length, layer.head_size), layer.dtype)

    def prompt(self, tokens: Array) -> Array:
        """Logits [n, vocab] float32 of tokens [n] as the chunk of a prompt; where it is cut does not change them."""
        n = len(tokens)
        return self._run(self._prompts, tokens[None], np.arange(n)[None], np.arange(n))

    def decodes(self, tokens: Array) -> Iterator[Array]:
        """Logits [rows, vocab] float32 of each position of tokens [rows, n], one after another, in decode rows."""
        for position, column in enumerate(tokens.T):
            positions = np.full((len(column), 1), position)
            yield self._run(self._decodes, column[:, None], positions, np.arange(len(column)))

    def _run(self, session: Any, ids: Array, positions: Array, wanted: Array) -> Array:
        """One run over slots 0 to the number of rows of ids [rows, n] at positions [rows, n].

        Args:
            wanted: [w], of the run's tokens those whose logits are.
        """
        logits = np.empty((len(wanted), self._vocab_size), np.float32)
        last = positions[:, -1]
        places = np.moveaxis(np.indices(ids.shape), 0, -1)  # every token in its own place of attention's view
        inputs: SlotInputs[Array] = SlotInputs(
            input_ids=ids.astype(np.int64),
            position_ids=positions.astype(np.int64),
            seqlens_k=last.astype(np.int32),
            total_sequence_length=np.array([last.max() + 1], np.int32),
            logits_index=wanted.astype(np.int64),
        )
        ragged: RaggedInputs[Array] = RaggedInputs(
            query_seqlens=np.full(len(ids), ids.shape[1], np.int32), pad_index=places, unpad_index=places
        )
        slots = {names: tensor[: len(ids)] for names, tensor in self._cache.items()}
        feeds = by_name(inputs, ragged) | {past: tensor for (past, _), tensor in slots.items()}
        outputs = {LOGITS.name: logits} | {present: tensor for (_, present), tensor in slots.items()}
        needed = {node.name for node in session.get_inputs()}
        binding = session.io_binding()
        kept = {name: np.ascontiguousarray(array) for name, array in feeds.items() if name in needed}
        for name, array in kept.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        session.run_with_iobinding(binding)
        return logits


def judge(bundle: Path, tokens: Array, reference: Array) -> dict[str, Fidelity]:
    """Judges ``prompt`` and ``decode``: each text a prompt, and all texts as the rows of one batch, token by token.

    Args:
        tokens: [rows, n].
        reference: [rows, n, vocab] float32, logits.
    """
    model = Forced(bundle, *tokens.shape)
    prompts, decodes = Tally(), Tally()
    for window, expected in zip(tokens, reference, strict=True):
        prompts.add(expected, model.prompt(window), following(window))
    targets = np.stack([following(window) for window in tokens])
    for position, logits in enumerate(model.decodes(tokens)):
        decodes.add(reference[:, position], logits, targets[:, position])
    return {"prompt": prompts.fidelity(), "decode": decodes.fidelity()}


def main(bundle: str) -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        reference = np.load(asked["reference"], mmap_mode="r")
        found = judge(Path(bundle), np.array(asked["windows"], np.int64), reference)
        print(json.dumps({kind: asdict(fidelity) for kind, fidelity in found.items()}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
