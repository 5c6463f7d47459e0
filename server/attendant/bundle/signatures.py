"""Who made a bundle: an Ed25519 signature of its manifest, which has the SHA-256 of every other file.

The signature is over :data:`PURPOSE` and the bytes of ``bundle.json``, and stands in ``bundle.sig`` in base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attendant.bundle.manifest import MANIFEST_FILE
from attendant.core.errors import BundleError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FILE = "bundle.sig"
PURPOSE = b"attendant bundle 1\n"
"""So that nothing else that the key ever signs can be taken for a bundle's manifest."""

MISSING = "signatures need a package that is missing (cryptography); run: pip install 'attendant[sign]'"
_END = b"-----END PUBLIC KEY-----"


def sign(bundle: Path, key: Path) -> Path:
    """Sign a bundle with the private key, PEM without a password, in the file ``key``. Returns the signature's file.

    Raises:
        ConfigurationError: no such key, or no package for it. BundleError: no manifest.
    """
    private, manifest = _private_key(key), _manifest(bundle)
    file = bundle / SIGNATURE_FILE
    file.write_bytes(base64.b64encode(private.sign(PURPOSE + manifest)) + b"\n")
    return file


class BundleKeys:
    """The public keys whose owners' bundles are served.

    Args:
        file: of one or several, PEM, one after the other.

    Raises:
        ConfigurationError: it has none, or something else; or there is no package for it.
    """

    def __init__(self, file: Path) -> None:
        self._keys = _public_keys(file)

    def check(self, bundle: Path) -> None:
        """See that a bundle has a signature by one of the keys. Raises BundleError."""
        from cryptography.exceptions import InvalidSignature

        path = bundle / SIGNATURE_FILE
        manifest = _manifest(bundle)
        try:
            signature = base64.b64decode(path.read_bytes().strip(), validate=True)
        except FileNotFoundError:
            raise BundleError(path, "the signature is missing, and bundle_keys is set: `attendant sign`") from None
        except (OSError, binascii.Error) as error:
            raise BundleError(path, f"is no signature: {error}") from None
        for key in self._keys:
            try:
                key.verify(signature, PURPOSE + manifest)
            except InvalidSignature:
                continue
            return
        raise BundleError(
            path, f"is no signature of {MANIFEST_FILE} by a key of bundle_keys, which has {len(self._keys)}"
        )


def _manifest(bundle: Path) -> bytes:
    path = bundle / MANIFEST_FILE
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(path, f"cannot be read: {error.strerror}") from None


def _private_key(file: Path) -> Ed25519PrivateKey:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ModuleNotFoundError:
        raise ConfigurationError(MISSING) from None
    try:
        key = load_pem_private_key(_read(file), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{file}: is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{file}: is a key of another kind; allowed: Ed25519")
    return key


def _public_keys(file: Path) -> Sequence[Ed25519PublicKey]:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError:
        raise ConfigurationError(MISSING) from None
    *blocks, rest = _read(file).split(_END)
    if not blocks or rest.strip():
        raise ConfigurationError(f"bundle_keys: {file} has something else than public keys in PEM")
    keys: list[Ed25519PublicKey] = []
    for block in blocks:
        try:
            key = load_pem_public_key(block.strip() + b"\n" + _END)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError(f"bundle_keys: {file} has a key that cannot be read") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigurationError(f"bundle_keys: {file} has a key of another kind; allowed: Ed25519")
        keys.append(key)
    return keys


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
