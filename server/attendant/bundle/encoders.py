"""The manifest of models that encode: what a row of input is made of, and what the outputs mean."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attendant.bundle.capabilities import Capability, EncoderTask
from attendant.bundle.manifest import ManifestBase
from attendant.bundle.section import Section

RowLayout = Literal["packed", "padded", "equal"]
Problem = Literal["single_label", "multi_label", "regression"]
Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]
_LABELLED = ("classify", "classify_tokens", "rerank", "classify_image", "classify_audio")
_EMBEDDING = ("embed", "embed_image")


class TextInput(Section):
    """Rows of tokens, of at most ``max_tokens`` with the special tokens. Position ids, where the graph takes them,
    count from ``position_offset``. ``mask_id``: the token that ``fill_mask`` fills. ``vocab_size``: ids that the graph
    takes, from 0 on; None in bundles of older exporters, which did not look. ``end_id``: a token that every row has to
    have, as the model reads its answer there."""

    kind: Literal["text"] = "text"
    max_tokens: int = Field(ge=1)
    pad_id: int = 0
    position_offset: int = 0
    mask_id: int | None = None
    vocab_size: int | None = Field(default=None, ge=1)
    end_id: int | None = None


class ImageInput(Section):
    """Rows of RGB images, ``height`` x ``width`` pixels, in this order: resize with Pillow's filter ``resample``, to
    ``resize`` (height, width), or so that the shorter edge has ``shortest_edge`` pixels; cut the centre of the final
    size; multiply by ``rescale``; subtract ``mean`` and divide by ``std``, by channel. ``rounded``: resized colours are
    whole numbers of 0 to 255, as in a file; else they are kept as they come.
    ``blue_first``: the channels are blue, green and red; ``mean`` and ``std`` are in the same order."""

    kind: Literal["image"] = "image"
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    resize: tuple[int, int] | None = None
    shortest_edge: int | None = None
    resample: int = Field(default=2, ge=0, le=5)
    rounded: bool = True
    blue_first: bool = False
    rescale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _cuts_only_rounded_images(self) -> Self:
        if not self.rounded and self.resize != (self.height, self.width):
            raise ValueError("without rounded, resize must give the final size: images are not cut")
        return self


class PatchInput(Section):
    """Rows of patches of RGB images that keep their shape, as SigLIP 2 takes them (Tschannen et al. 2025, section 2.3):
    resize with Pillow's filter ``resample`` to the largest size of at most ``max_patches`` squares of ``patch_size``
    pixels; multiply by ``rescale``; subtract ``mean`` and divide by ``std``, by channel."""

    kind: Literal["patches"] = "patches"
    patch_size: int = Field(ge=1)
    max_patches: int = Field(ge=1)
    resample: int = Field(default=2, ge=0, le=5)
    rescale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class AudioInput(Section):
    """Rows of samples, one channel, at ``sampling_rate`` Hz, between ``min_samples`` and ``max_samples``.
    ``normalise``: each row to zero mean and unit variance (plus 1e-7). ``samples_per_frame``: what a place of its
    layers stands for, where the section ``ctc`` does not say it."""

    kind: Literal["audio"] = "audio"
    sampling_rate: int = Field(ge=1)
    normalise: bool = False
    min_samples: int = Field(ge=1)
    max_samples: int = Field(ge=1)
    samples_per_frame: int = Field(default=1, ge=1)


class SpectrumInput(Section):
    """Rows of log-mel spectra, each of a recording of one channel at ``sampling_rate`` Hz that has between
    ``min_samples`` and ``max_samples``.

    ``scale``: ``slaney``, as Whisper has them (Radford et al. 2022, section 2.2), or ``kaldi``: frames of
    ``frame_length`` samples without their mean, with a pre-emphasis of 0.97 and a symmetric Hann window; triangles on
    the mel scale of HTK from 20 Hz to half the sampling rate; the natural logarithm of the power. There is a frame
    every ``hop_length`` samples, whose transform has ``fft_length``; what is missing of ``num_frames`` is silence, or 0
    before it is shifted. In the end ``mean`` is subtracted, and the rest divided by ``std``.
    """

    kind: Literal["spectrum"] = "spectrum"
    scale: Literal["slaney", "kaldi"]
    sampling_rate: int = Field(ge=1)
    num_mel_bins: int = Field(ge=1)
    num_frames: int = Field(ge=1)
    frame_length: int = Field(default=400, ge=1)
    hop_length: int = Field(default=160, ge=1)
    fft_length: int = Field(default=512, ge=1)
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    min_samples: int = Field(ge=1)
    max_samples: int = Field(ge=1)

    @property
    def normalise(self) -> bool:
        """Whether samples are: never."""
        return False


class EmbeddingHead(Section):
    """How one vector is made of a row's tokens: ``pooling`` (several: one after another; None: the graph gives one
    vector itself), then the graph ``projection`` if the bundle has it, then division by the Euclidean length if
    ``normalise``, then the first ``default_dimensions`` numbers of it, where that is given.

    ``dimensions``: of the vector. ``prefix_truncation``: shorter prefixes of it were trained to be of use, too.
    ``prompts``: text to put before an input, by name, e.g. ``query``; an empty one is a name all the same.
    ``default_prompt``: the name of the one for calls that name none. ``include_prompt``: whether pooling reads the
    prompt's tokens.
    """

    pooling: Pooling | tuple[Pooling, ...] | None
    dimensions: int = Field(ge=1)
    normalise: bool = False
    prefix_truncation: bool = False
    prompts: dict[str, str] = Field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    default_dimensions: int | None = Field(default=None, ge=1)

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """Each pooling, in order."""
        match self.pooling:
            case None:
                return ()
            case str(name):
                return (name,)
            case names:
                return names


class CtcHead(Section):
    """Greedy decoding of connectionist temporal classification: ``vocabulary`` by id; ``blank_id``; the token that
    stands between words; ``samples_per_frame``, of the input, that the graph advances by."""

    vocabulary: tuple[str, ...]
    blank_id: int
    word_delimiter: str = "|"
    samples_per_frame: int = Field(ge=1)


class EncoderManifest(ManifestBase):
    """The content of ``bundle.json`` of a model that encodes rows independently of each other.

    The graph ``encoder`` takes, for text in layout ``packed``, the tokens of all rows in one, and a padded view of them
    where attention needs it; in layout ``padded``, rows that are filled up to the longest; in layout ``equal``, of
    images and sound, rows of one size. The graph ``projection``, if there is one, makes the vectors of what was pooled.
    :mod:`attendant.bundle.graph_io` declares what they take, and what they give for which task.
    """

    task: EncoderTask
    input: Annotated[TextInput | ImageInput | PatchInput | AudioInput | SpectrumInput, Field(discriminator="kind")]
    layout: RowLayout
    labels: tuple[str, ...] = ()
    problem: Problem = "single_label"
    embedding: EmbeddingHead | None = None
    ctc: CtcHead | None = None

    @property
    def own_capabilities(self) -> tuple[Capability, ...]:
        """Its task."""
        return (self.task,)

    @model_validator(mode="after")
    def _has_what_its_task_needs(self) -> Self:
        if self.task in _LABELLED and not self.labels:
            raise ValueError(f"task {self.task} needs labels")
        if self.task in _EMBEDDING and self.embedding is None:
            raise ValueError(f"task {self.task} needs the section embedding")
        if self.task == "transcribe" and self.ctc is None:
            raise ValueError("task transcribe needs the section ctc")
        if self.task == "fill_mask" and getattr(self.input, "mask_id", None) is None:
            raise ValueError("task fill_mask needs input.mask_id")
        if self.attention is not None:
            self.seen_input()
        return self

    def seen_input(self) -> TextInput | ImageInput | AudioInput:
        """What it reads, if a model that reads it can give its attention.

        Raises:
            ValueError: none that reads it can; names its kind.
        """
        if isinstance(self.input, PatchInput | SpectrumInput):
            raise ValueError(f"models that read {self.input.kind} do not give attention; allowed: text, image, audio")
        return self.input
