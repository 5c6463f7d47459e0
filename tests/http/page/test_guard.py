"""Who gets the page, and what browsers may do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from attendant.http.page.files import page_files
from attendant.http.page.routes import Page
from attendant.metrics import Metrics

from tests.http.page.served import PageSite

ASK = {"model": "m", "text": "t"}
MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def site() -> Iterator[PageSite]:
    site = PageSite()
    yield site
    site.close()


def why(answer: tuple[int, dict[str, str], bytes], status: int = 403) -> str:
    assert answer[0] == status
    text: str = json.loads(answer[2])["error"]
    return text


def test_a_browser_of_this_machine_gets_it(site: PageSite) -> None:
    for host in ("localhost:9090", "127.0.0.1:9090", "127.9.9.9", "[::1]:9090", "LOCALHOST"):
        assert site.send("/", method="GET", host=host)[0] == 200


@pytest.mark.parametrize("path", ["/", "/page/events", "/page/main.js"])
def test_a_name_that_points_here_is_refused(site: PageSite, path: str) -> None:
    for host in ("evil.example:9090", "localhost.evil.example", "10.0.0.1", ""):
        assert "localhost or 127.0.0.1" in why(site.send(path, method="GET", host=host))


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "via"])
def test_a_proxy_is_refused(site: PageSite, header: str) -> None:
    assert f"by a proxy ({header})" in why(site.send("/", method="GET", **{header: "x"}))


def test_other_sites_cannot_post(site: PageSite) -> None:
    path = "/page/classify"
    own = f"http://{site.address}"
    assert "https://evil.example" in why(site.send(path, ASK, origin="https://evil.example"))
    assert "null" in why(site.send(path, ASK, origin="null"))
    assert "http://localhost:1" in why(site.send(path, ASK, origin="http://localhost:1"))
    assert "cross-site" in why(site.send(path, ASK, sec_fetch_site="cross-site"))
    assert "same-site" in why(site.send(path, ASK, sec_fetch_site="same-site", origin=own))
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert "allowed: application/json" in why(site.send(path, ASK, content_type=kind), 415)
    for headers in ({}, {"origin": own}, {"origin": own, "sec_fetch_site": "same-origin"}):
        assert "loading its models" in why(site.send(path, ASK, **headers), 503)


def test_other_sites_can_link_but_not_read(site: PageSite) -> None:
    linked = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert site.send("/", method="GET", **linked)[0] == 200
    assert "cross-site" in why(site.send("/page/events", method="GET", sec_fetch_site="cross-site"))


@pytest.mark.parametrize("peer", ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])
def test_others_are_refused_unless_an_operator_lets_them_in(peer: str) -> None:
    site = PageSite(peer=peer)
    try:
        for path in ("/", "/page/events", "/page/main.js"):
            assert f"you come from {peer}" in why(site.send(path, method="GET"))
        assert "http.page" in why(site.send("/page/generate", ASK))
        assert site.get("/metrics")[0] == 200
    finally:
        site.close()


def test_everyone_is_let_in_if_told_so_and_still_no_other_site() -> None:
    site = PageSite(audience="everyone", peer="192.0.2.7")
    try:
        assert site.send("/", method="GET", host="gpu-box:9090")[0] == 200
        assert "evil" in why(site.send("/page/classify", ASK, origin="https://evil.example"))
        asked = site.send("/page/classify", ASK, host="gpu-box:9090", origin="http://gpu-box:9090")
        assert "loading its models" in why(asked, 503)
    finally:
        site.close()


def test_it_can_be_off() -> None:
    site = PageSite(audience="off")
    try:
        assert "there are /metrics and /metrics/load and /healthz" in why(site.send("/", method="GET"), 404)
        assert site.send("/page/events", method="GET")[0] == 404
    finally:
        site.close()


def test_it_can_be_without_what_models_looked_at() -> None:
    page = Page("loopback", Metrics(), lambda: None, lambda: True, explains=False)
    paths = {route.path for route in page.routes()}
    assert "/page/generate" in paths
    assert not paths & {"/page/attention", "/page/attribute", "/page/similarity"}


def test_browsers_load_nothing_from_elsewhere_and_run_no_inline_script(site: PageSite) -> None:
    _, headers, body = site.send("/", method="GET")
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in body.decode()
    assert "style=" not in body.decode()
    assert "http://" not in body.decode()
    assert "https://" not in body.decode()


def test_files_are_small_and_asked_for_once(site: PageSite) -> None:
    files = page_files()
    assert sum(len(file.body) for file in files.values()) < MOST_BYTES
    for name, file in files.items():
        path = "/" if name == "index.html" else f"/page/{name}"
        status, headers, body = site.send(path, method="GET")
        assert (status, headers["content-type"], body) == (200, file.content_type, file.body)
        again, _, nothing = site.send(path, method="GET", if_none_match=headers["etag"])
        assert (again, nothing) == (304, b"")


def test_the_licence_of_what_is_not_ours_is_there() -> None:
    files = page_files()
    assert b"uPlot" in files["uplot.js"].body[:100]
    assert b"Permission is hereby granted" in files["uplot-licence.txt"].body
