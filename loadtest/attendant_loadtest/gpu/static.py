"""The other side of check 3: transformers' ``generate`` over torch, a batch of equal prompts from begin to end."""

from __future__ import annotations

import statistics
import time
from typing import Any

from attendant_loadtest.gpu.shapes import LlamaShape, Sizes


def measure_static(shape: LlamaShape, sizes: Sizes, *, on_gpu: bool) -> dict[str, Any]:
    """Decode at every batch and prefill at every length: bf16, sdpa attention, random weights, a dynamic cache.

    A batch that does not fit has ``error`` in place of figures. In a dry run on a processor the type is float32.
    """
    generator = _Generator(shape, sizes, on_gpu=on_gpu)
    generator.run(1, sizes.prompt, 2)  # warm-up
    found = {
        "decode": [generator.decode(batch) for batch in sizes.batches],
        "prefill": [generator.prefill(length) for length in sizes.prefills],
    }
    generator.close()
    return found


class _Generator:
    """A model and its clock."""

    def __init__(self, shape: LlamaShape, sizes: Sizes, *, on_gpu: bool) -> None:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        self._torch = torch
        self._sizes = sizes
        self._device = torch.device("cuda" if on_gpu else "cpu")
        self._vocabulary = shape.vocabulary
        if sizes.threads is not None:
            torch.set_num_threads(sizes.threads)
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16 if on_gpu else torch.float32)
        try:
            with self._device:
                config = LlamaConfig(**shape.config(), attn_implementation="sdpa")
                self._model: Any = LlamaForCausalLM(config).eval()
        finally:
            torch.set_default_dtype(before)

    def decode(self, batch: int) -> dict[str, Any]:
        """The time of a token after the first: from that of many, that of one taken away."""
        sizes = self._sizes
        try:
            self.run(batch, sizes.prompt, 2)  # the memory that it takes
            one = self.run(batch, sizes.prompt, 1)
            step = (self.run(batch, sizes.prompt, 1 + sizes.decode_steps) - one) / sizes.decode_steps
            return {"batch": batch, "step_ms": step * 1e3, "tokens_per_s": batch / step, "prompts_ms": one * 1e3}
        except self._torch.OutOfMemoryError as error:
            reason = str(error).partition("\n")[0]
        self._torch.cuda.empty_cache()  # not before the error is gone, which holds on to what it was about
        return {"batch": batch, "error": reason}

    def prefill(self, length: int) -> dict[str, float]:
        """One prompt and one token."""
        self.run(1, length, 1)
        median = statistics.median(self.run(1, length, 1) for _ in range(self._sizes.repeats))
        return {"tokens": length, "ms": median * 1e3, "tokens_per_s": length / median}

    def run(self, batch: int, prompt: int, new_tokens: int) -> float:
        """Seconds for ``new_tokens`` after each of ``batch`` prompts."""
        torch = self._torch
        ids = torch.randint(3, self._vocabulary, (batch, prompt), device=self._device)
        self._wait()
        started = time.perf_counter()
        with torch.inference_mode():
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=0,
            )
        self._wait()
        assert found.shape == (batch, prompt + new_tokens)
        return time.perf_counter() - started

    def close(self) -> None:
        """Give the memory back."""
        del self._model
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()

    def _wait(self) -> None:
        if self._device.type == "cuda":
            self._torch.cuda.synchronize()
