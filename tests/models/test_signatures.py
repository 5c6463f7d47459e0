"""Signed bundles: with keys, a server serves what one of them has signed, and nothing that was changed since."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
from attendant.bundle import MANIFEST_FILE, TOKENIZER_FILE
from attendant.bundle.signatures import PURPOSE, SIGNATURE_FILE, BundleKeys
from attendant.cli import main
from attendant.core.errors import BundleError, ConfigurationError
from attendant.models.loader import LoadedBundles, ModelLoader
from attendant.settings import EngineSettings, ServeSettings
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.models.test_hostile_bundles import DEMO
from tests.models.test_repository import replace_file


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO, tmp_path / "bundle"))


def private(path: Path, key: Ed25519PrivateKey | X25519PrivateKey, password: bytes = b"") -> Path:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    return path


def public(path: Path, *keys: Ed25519PrivateKey | X25519PrivateKey) -> Path:
    pems = [key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for key in keys]
    path.write_bytes(b"\n".join(pems))
    return path


def load(bundle: Path, keys: Path) -> LoadedBundles:
    settings = EngineSettings(threads=1, spinning=False, max_num_seqs=2)
    return ModelLoader(settings, verify=True, keys=BundleKeys(keys), progress=print).load_all([bundle])


def test_what_a_key_has_signed_is_served_until_it_is_changed(bundle: Path, tmp_path: Path) -> None:
    ours, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    keys = public(tmp_path / "keys.pem", theirs, ours)
    with pytest.raises(BundleError, match=r"bundle.sig: the signature is missing, and bundle_keys is set"):
        load(bundle, keys)
    assert main(["sign", str(bundle), "--key", str(private(tmp_path / "key.pem", ours))]) == 0
    signature = base64.b64decode((bundle / SIGNATURE_FILE).read_bytes())
    ours.public_key().verify(signature, PURPOSE + (bundle / MANIFEST_FILE).read_bytes())
    assert load(bundle, keys).models[0].name == "demo"
    with pytest.raises(BundleError, match=r"no signature of bundle\.json by a key of bundle_keys, which has 1"):
        load(bundle, public(tmp_path / "other.pem", theirs))

    before = (bundle / TOKENIZER_FILE).read_bytes()
    (bundle / TOKENIZER_FILE).write_bytes(before[:-1] + b" ")
    with pytest.raises(BundleError, match="the file is corrupt"):
        load(bundle, keys)
    replace_file(bundle, TOKENIZER_FILE, before + b" ")  # and the manifest agrees, but nobody has signed it
    with pytest.raises(BundleError, match=r"no signature of bundle\.json"):
        load(bundle, keys)


@pytest.mark.parametrize("signature", [b"", b"not base64!", base64.b64encode(b"x" * 64), base64.b64encode(b"short")])
def test_what_is_no_signature_is_refused(signature: bytes, bundle: Path, tmp_path: Path) -> None:
    (bundle / SIGNATURE_FILE).write_bytes(signature)
    with pytest.raises(BundleError, match=r"bundle\.sig: is no signature"):
        load(bundle, public(tmp_path / "keys.pem", Ed25519PrivateKey.generate()))


def test_a_signature_for_another_purpose_is_none(bundle: Path, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    (bundle / SIGNATURE_FILE).write_bytes(base64.b64encode(key.sign((bundle / MANIFEST_FILE).read_bytes())))
    with pytest.raises(BundleError, match="is no signature"):
        load(bundle, public(tmp_path / "keys.pem", key))


def test_keys_that_cannot_be_used_are_told(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key, other = Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "half").write_bytes(public(tmp_path / "whole", key).read_bytes() + b"more")
    for file, said in (
        (tmp_path / "nowhere", "cannot be read: No such file"),
        (tmp_path / "text", "has something else than public keys"),
        (tmp_path / "half", "has something else than public keys"),
        (private(tmp_path / "private", key), "has something else than public keys"),
        (public(tmp_path / "x25519", other), "has a key of another kind; allowed: Ed25519"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            BundleKeys(file)
    for file, said in (
        (tmp_path / "nowhere", "cannot be read"),
        (private(tmp_path / "x", other), "is a key of another kind; allowed: Ed25519"),
        (private(tmp_path / "locked", key, b"secret"), "is no private key in PEM without a password"),
    ):
        assert main(["sign", str(bundle), "--key", str(file)]) == 2
        assert said in capsys.readouterr().err
    assert not (bundle / SIGNATURE_FILE).exists()


def test_keys_need_digests() -> None:
    with pytest.raises(ValueError, match="allowed: with verify_bundles only"):
        ServeSettings(bundle_keys=Path("keys.pem"), verify_bundles=False)
