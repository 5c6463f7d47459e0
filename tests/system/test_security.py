"""A server that knows its callers, as its operator meets it: flags, signals, the log, and the command line's client."""

from __future__ import annotations

import signal
import ssl
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import trustme

from tests.security.authority import row, write_ca, write_identity
from tests.system.server import attendant, eventually, serving


def ask(url: str, ca: Path, token: str = "") -> int:
    """The status of a GET."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        trusted = ssl.create_default_context(cafile=str(ca))
        return int(urlopen(Request(url, headers=headers), timeout=60, context=trusted).status)
    except HTTPError as error:
        return error.code


def test_a_server_with_tls_and_tokens_reads_its_files_again(fast: Path, tmp_path: Path) -> None:
    ca = trustme.CA()
    write_identity(tmp_path, ca)
    authority, callers = write_ca(tmp_path, ca), tmp_path / "callers.yaml"
    made = attendant("token", "new", "team-a", "--models", "fast", "--scopes", "infer", "metrics")
    token = made.stderr.rpartition(" ")[2].strip()
    assert token not in made.stdout
    callers.write_text(made.stdout)
    words = ("--tls.certificate", tmp_path / "server.crt", "--tls.key", tmp_path / "server.key")
    flags = (*words, "--auth.tokens", callers, "--require-auth", "--grpc.host", "0.0.0.0")
    with serving(tmp_path / "log", fast, *flags) as server:
        port = server.grpc.rpartition(":")[2]
        where = ("--server", f"localhost:{port}", "--tls-ca", authority)
        (tmp_path / "token").write_text(f"{token}\n")
        said = attendant("generate", "hello", "--max-tokens", 3, *where, "--token-file", tmp_path / "token")
        assert (said.returncode, bool(said.stdout.strip())) == (0, True), said.stderr
        said = attendant("models", *where)
        assert (said.returncode, "UNAUTHENTICATED: the call does not say who makes it" in said.stderr) == (1, True)
        said = attendant("load", "fast", *where, "--token", token)
        assert "PERMISSION_DENIED: 'team-a' may not load: that takes the scope 'admin'" in said.stderr
        models = f"{server.http}/v1/models".replace("127.0.0.1", "localhost")
        assert (ask(models, authority), ask(models, authority, token)) == (401, 200)
        callers.write_text(row("team-b", "t2"))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: ask(models, authority, "t2") == 200)
        assert ask(models, authority, token) == 401
        callers.write_text("broken: [")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "what was read before stays in force" in server.log())
        assert ask(models, authority, "t2") == 200
        log = server.log()
        assert "OPEN TO ANYONE" not in log
        assert "/attendant.v1.Models/ListModels: refused (missing); subject '', peer " in log
        assert "load 'fast': refused or failed: NotPermitted; subject 'team-a', peer " in log
        assert token not in log
        assert "t2" not in log
