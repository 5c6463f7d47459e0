"""``attendant explain``: ask, or read what was recorded, and draw."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from pathlib import Path

from attendant.client.connection import CallFailed, Connection
from attendant.client.encoding import read_file
from attendant.client.explain import asking
from attendant.client.explain.arguments import WrongUsage, check, form_of, methods
from attendant.client.explain.painter import Painter, depth_of, has_blocks, is_dark
from attendant.client.explain.recorded import NotRecorded, from_json, to_json
from attendant.client.explain.terminal import MOST_PANELS, lines
from attendant.client.explain.views import Attention, View


def explain(args: Namespace) -> int:
    """Show what a model looked at, or what its answer hung on."""
    try:
        check(args)
        views = [_chosen(view, args.token) for view in _views(args)]
        _show(views, args)
    except WrongUsage as error:
        print(f"attendant: error: {error}", file=sys.stderr)
        return 2
    return 0


def _views(args: Namespace) -> list[View]:
    if args.recorded is not None:
        return read_recorded(args.recorded)
    text = _text(args)
    with Connection.of(args) as connection:
        if args.context:
            return [asking.similarity(connection, args)]
        if args.steps:
            return [asking.steps(connection, args, text)]
        model = asking.find_model(connection, args)
        return [
            asking.attention(connection, args, model, text)
            if method == "attention"
            else asking.attribution(connection, args, model, text, method)
            for method in methods(args)
        ]


def read_recorded(path: str) -> list[View]:
    """The views of a file that ``--json`` wrote. Raises CallFailed."""
    try:
        views = [from_json(line) for line in read_file(path).decode().splitlines() if line.strip()]
    except (NotRecorded, UnicodeError) as error:
        raise CallFailed(f"{path}: {error}") from None
    if not views:
        raise CallFailed(f"{path}: it is empty")
    return views


def _text(args: Namespace) -> str:
    try:
        text: str = sys.stdin.buffer.read().decode() if args.text == "-" else args.text or ""
        text.encode()  # arguments that are not UTF-8 arrive as surrogates
    except UnicodeError:
        raise WrongUsage("the text is not valid UTF-8") from None
    return text


def _chosen(view: View, token: str | None) -> View:
    """The rows of one token, which is named by its number or its text."""
    if token is None or not isinstance(view, Attention):
        return view
    numbered = range(view.first_row, view.first_row + len(view.rows))
    if token.isdecimal():
        found = [int(token)] if int(token) in numbered else []
    else:
        found = [number for number, row in zip(numbered, view.rows, strict=True) if row.text.strip() == token.strip()]
    if len(found) != 1:
        which = f"it is there {len(found)} times, as numbers {found}" if found else "it is not there"
        raise WrongUsage(f"--token is {token!r}; {which}; allowed: a number from {numbered[0]} to {numbered[-1]}")
    return view.of_rows([found[0] - view.first_row])


def _show(views: list[View], args: Namespace) -> None:
    if args.json:
        for view in views:
            print(to_json(view))
        return
    if args.output is not None:
        _write(views, args.output)
        return
    for view in views:
        if isinstance(view, Attention) and view.num_panels > MOST_PANELS:
            raise WrongUsage(
                f"{view.num_panels} matrices are too many for a terminal; allowed: up to {MOST_PANELS}. Name "
                "--layer or --head, a --reduction, or a file with --output"
            )
    painter = Painter(
        depth_of(sys.stdout, args.color),
        shutil.get_terminal_size().columns,
        blocks=has_blocks(sys.stdout),
        dark=is_dark(args.background),
    )
    for number, view in enumerate(views):
        for line in (*([""] if number else []), *lines(view, painter)):
            print(line)


def _write(views: list[View], path: str) -> None:
    form = form_of(path)
    if form == "html":
        from attendant.client.explain.page import page

        content = page(views).encode()
    else:
        from attendant.client.explain.figure import PicturesUnavailable, picture

        try:
            content = picture(views, form)
        except PicturesUnavailable as error:
            raise CallFailed(str(error)) from None
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise CallFailed(f"{path}: cannot be written: {error.strerror or error}") from None
    print(f"wrote {path}")
