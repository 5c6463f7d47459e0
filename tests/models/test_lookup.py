"""Which model a call means: by name, by what it can do, and which sentence refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from attendant.bundle import Capability, Manifest, read_any_manifest, read_manifest
from attendant.core.errors import BundleError, InvalidRequest, ModelFailed, ModelNotFound
from attendant.models.encoders import load_encoder
from attendant.models.failed import FailedModel
from attendant.models.generators import load_generator
from attendant.models.info import EncodingInfo, GenerationInfo, ModelInfo, ModelState
from attendant.models.ledger import Account
from attendant.models.loaded import LoadedModel, load_model
from attendant.models.lookup import ENGINE, GENERATE, SPEECH, TRANSLATE, encoding, find
from attendant.rpc.convert_models import model_message
from attendant.settings import EncoderSettings, EngineSettings, GpuSettings

from tests.synthetic import make_synthetic_bundle
from tests.synthetic_encoder import make_text_encoder

SETTINGS = EngineSettings(threads=1, spinning=False, max_num_seqs=2)
ENCODER = EncoderSettings(threads=1, spinning=False)


@dataclass(frozen=True)
class Model:
    """A model that is nothing but its name and what it can do."""

    name: str
    capabilities: tuple[Capability, ...]
    version: str = "1"
    current: bool = True

    def refusal(self) -> None:
        """It takes calls."""


def models(*ways: Capability) -> list[Model]:
    return [Model(f"{way}{index}", ("generate", way)) for index, way in enumerate(ways)]


def test_without_a_name_the_only_one_of_a_kind_is_meant() -> None:
    both = models("translate", "continue", "speech")
    assert find(both, "", GENERATE).name == "continue1"
    assert find(both, "", TRANSLATE).name == "translate0"
    assert find(both, "", SPEECH).name == "speech2"
    assert find(both, "speech2", GENERATE).name == find(both, "speech2", TRANSLATE).name == "speech2"
    assert find(models("translate"), "", GENERATE).name == "translate0"
    with pytest.raises(ModelNotFound, match="no model for task 'translate' is loaded; loaded models: 'continue0'"):
        find(models("continue"), "", TRANSLATE)
    for several in (models("continue", "continue"), models("translate", "translate")):
        with pytest.raises(ModelNotFound, match="no model is named, and there is not just one"):
            find(several, "", GENERATE)


def test_what_speaks_as_vllm_generates_or_embeds() -> None:
    known = [Model("writer", ("generate", "continue")), Model("vectors", ("embed",)), Model("moods", ("classify",))]
    assert [find(known, name, ENGINE).name for name in ("writer", "vectors")] == ["writer", "vectors"]
    allowed = "allowed, of those that generate or embed texts: 'vectors', 'writer'"
    with pytest.raises(InvalidRequest, match=f"is 'moods', which is for task classify; {allowed}"):
        find(known, "moods", ENGINE)
    with pytest.raises(InvalidRequest, match=f"model is empty; {allowed}"):
        find(known, "", ENGINE)


def test_a_name_left_out_means_no_other_model_because_one_failed() -> None:
    good, unread = Model("good", ("generate", "continue")), FailedModel("unread", BundleError("x", "y"))
    both: list[Any] = [good, unread]
    assert find(both, "", GENERATE).name == "good", "nobody knows that the other was of this kind"
    manifest = cast("Manifest", SimpleNamespace(capabilities=("classify",)))
    encoder = FailedModel("moods", BundleError("x", "the graph is gone"), manifest)
    with pytest.raises(ModelFailed, match="'moods' is not served: the graph is gone"):
        find([encoder], "", encoding("classify"))


def test_a_model_can_do_several_things(tmp_path: Path) -> None:
    """A decoder that also embeds, an encoder that embeds and classifies: parts are put together, nothing else."""
    writer = make_synthetic_bundle(tmp_path / "writer", name="writer")
    vectors, moods = make_text_encoder(tmp_path / "vectors", "embed"), make_text_encoder(tmp_path / "moods")
    embeds, classifies = (load_encoder(path, read_any_manifest(path), ENCODER) for path in (vectors, moods))  # type: ignore[arg-type]
    writes = load_generator(writer, read_manifest(writer), SETTINGS)
    both = [LoadedModel.of(writes, embeds), LoadedModel.of(classifies, embeds)]
    assert [model.capabilities for model in both] == [("generate", "continue", "embed"), ("classify", "embed")]
    assert find(both, "", GENERATE).generator is writes
    assert find(both, "writer", encoding("embed")).encoder("embed") is embeds
    assert find(both, "moods", encoding("embed")).encoder("embed") is embeds
    assert find(both, "", encoding("classify")).encoder("classify") is classifies
    with pytest.raises(InvalidRequest, match="model is empty; allowed, for task embed: 'moods', 'writer'"):
        find(both, "", encoding("embed"))
    with pytest.raises(InvalidRequest, match="is 'writer', which is for task generate; allowed, for task classify: 'm"):
        find(both, "writer", encoding("classify"))


def test_a_model_that_can_do_several_things_is_shown(tmp_path: Path) -> None:
    writer = read_manifest(make_synthetic_bundle(tmp_path / "writer", name="writer"))
    moods: Any = read_any_manifest(make_text_encoder(tmp_path / "moods"))
    parts = GenerationInfo(writer, 32, 4, 8), EncodingInfo(moods, 262, 64, 4160)  # type: ignore[arg-type]
    message = model_message(
        ModelInfo(writer, ("generate", "continue", "classify"), ModelState.READY, parts[0], parts[1:])
    )
    assert list(message.capabilities) == ["generate", "continue", "classify"]
    assert (message.generation.limits.max_running, message.encodings[0].limits.max_running) == (4, 64)
    assert (message.task, message.max_running, list(message.labels)) == ("generate", 4, ["no", "maybe", "yes"])


def test_a_bundle_says_what_it_can_do_and_no_more_is_promised(tmp_path: Path) -> None:
    bundle = make_synthetic_bundle(tmp_path / "writer", name="writer")
    manifest = read_manifest(bundle)
    assert manifest.capabilities == ("generate", "continue")
    assert read_any_manifest(make_text_encoder(tmp_path / "vectors", "embed")).capabilities == ("embed",)
    more = manifest.model_copy(update={"further_capabilities": ("embed", "generate")})
    assert more.capabilities == ("generate", "continue", "embed")
    with pytest.raises(BundleError, match="can do more than this server knows to load: embed"):
        load_model(bundle, more, SETTINGS, ENCODER, GpuSettings(), account=Account.alone("writer"))
