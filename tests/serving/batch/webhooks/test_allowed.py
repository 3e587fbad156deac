"""Which URLs may be told."""

import ipaddress

import pytest
from pydantic import ValidationError

from serving.batch.webhooks.allowed import OFF, Allowed
from serving.batch.webhooks.reach import Unreachable, addresses, is_public
from serving.errors import InvalidRequest
from serving.settings.webhooks import WebhookHost, WebhookSettings

HOSTS = (
    "hooks.example.com",
    "hooks.example.com:8443",
    {"host": "127.0.0.1", "port": 9000, "private": True},
    {"host": "inside.example.com", "private": True},
    "[2606:4700::1111]:444",
)


def allowed(*hosts: object) -> Allowed:
    return Allowed(
        WebhookSettings.model_validate(
            {"enabled": True, "hosts": hosts or HOSTS, "secret_env": "SECRET"}
        )
    )


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://hooks.example.com", "hooks.example.com", "/"),
        ("https://HOOKS.example.com:443/a?b=c&d", "hooks.example.com", "/a?b=c&d"),
        ("https://hooks.example.com:8443/a%20b", "hooks.example.com:8443", "/a%20b"),
        ("http://127.0.0.1:9000/?", "127.0.0.1:9000", "/?"),
        ("https://127.0.0.1:9000/x", "127.0.0.1:9000", "/x"),
        ("https://[2606:4700::1111]:444/x", "[2606:4700::1111]:444", "/x"),
        ("https://inside.example.com/x//y", "inside.example.com", "/x//y"),
    ],
)
def test_what_stands_on_the_list_may_be_told(url: str, authority: str, path: str) -> None:
    target = allowed().target(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://example.com/", "webhook_host_not_allowed"),
        ("https://hooks.example.com.evil.org/", "webhook_host_not_allowed"),
        ("https://evil.hooks.example.com/", "webhook_host_not_allowed"),
        ("https://hooks.example.com./", "webhook_host_not_allowed"),
        ("https://hooks.example.com:444/", "webhook_host_not_allowed"),
        ("https://127.0.0.1/", "webhook_host_not_allowed"),
        ("https://2130706433:9000/", "webhook_host_not_allowed"),
        ("https://evil.org\\@hooks.example.com/", "invalid_url"),
        ("https://evil.org@hooks.example.com/", "invalid_url"),
        ("https://hooks.example.com@evil.org/", "invalid_url"),
        ("https://hooks.example.com#@evil.org/", "invalid_url"),
        ("https://hooks.example.com/#a", "invalid_url"),
        ("http://hooks.example.com/", "webhook_host_not_allowed"),
        ("http://hooks.example.com:443/", "invalid_url"),
        ("http://inside.example.com:443/", "invalid_url"),
        ("ftp://hooks.example.com/", "invalid_url"),
        ("//hooks.example.com/", "invalid_url"),
        ("hooks.example.com", "invalid_url"),
        ("https://hooks.example.com/a b", "invalid_url"),
        ("https://hooks.exam\tple.com/", "invalid_url"),
        ("https://hooks.example.com/\r\nx: y", "invalid_url"),
        ("https://hooks.exämple.com/", "invalid_url"),
        ("https://hooks.example.com:99999/", "invalid_url"),
        ("https://[::1/", "invalid_url"),
        ("https:///path", "invalid_url"),
        ("", "invalid_url"),
        ("https://hooks.example.com/" + "a" * 512, "invalid_url"),
    ],
)
def test_nothing_else_may(url: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        allowed().target(url)
    assert (caught.value.code, caught.value.param) == (code, "metadata.webhook_url")


def test_a_list_that_is_off_allows_nothing_and_what_names_no_url_is_not_asked_about() -> None:
    with pytest.raises(InvalidRequest, match="webhooks are off"):
        OFF.check({"webhook_url": "https://hooks.example.com/"})
    OFF.check({"project": "x"})
    OFF.check(None)
    named = WebhookSettings(hosts=(WebhookHost(host="hooks.example.com"),))
    with pytest.raises(InvalidRequest, match="webhooks are off"):
        Allowed(named).target("https://hooks.example.com/")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"enabled": True, "secret_env": "S"}, "hosts"),
        ({"enabled": True, "hosts": ["a.example"]}, "secret_env"),
        ({"hosts": ["a.example", "A.example:443"]}, "stands twice"),
        ({"hosts": ["127.0.0.1:80"]}, "private: true"),
        ({"hosts": ["localhost"]}, "private: true"),
        ({"hosts": ["::1"]}, "private: true"),
        ({"hosts": ["*.example.com"]}, "exact name"),
        ({"hosts": ["https://a.example"]}, "exact name"),
        ({"hosts": ["a.example:99999"]}, "less than"),
        ({"hosts": ["a.example/path"]}, "exact name"),
        ({"hosts": ["a.example:0"]}, "greater than"),
        ({"hosts": ["exämple.com"]}, "exact name"),
        ({"hosts": [""]}, "exact name"),
        ({"hosts": [{"host": "a.example", "scheme": "http"}]}, "scheme"),
    ],
)
def test_a_list_that_says_too_little_is_refused(settings: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WebhookSettings.model_validate(settings)


@pytest.mark.parametrize(
    "inside",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "2002:7f00:1::",
        "2001::1",
    ],
)
def test_addresses_inside_are_not_public(inside: str) -> None:
    assert not is_public(ipaddress.ip_address(inside))


@pytest.mark.parametrize(
    "outside", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet_are(outside: str) -> None:
    assert is_public(ipaddress.ip_address(outside))


async def test_one_address_inside_makes_a_name_unreachable() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return {"hooks.example.com": ["8.8.8.8", "10.0.0.1"], "inside.example.com": ["10.0.0.1"]}[
            host
        ]

    with pytest.raises(Unreachable, match="address_not_allowed"):
        await addresses(allowed().target("https://hooks.example.com/"), lookup)
    inside = allowed().target("https://inside.example.com/")
    assert await addresses(inside, lookup) == ["10.0.0.1"]


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (["ff02::1"], "address_not_allowed"),
        (["0.0.0.0"], "address_not_allowed"),
        ([], "unresolved"),
    ],
)
async def test_private_is_no_word_for_anything(found: list[str], outcome: str) -> None:
    async def lookup(host: str, port: int) -> list[str]:
        return found

    with pytest.raises(Unreachable, match=outcome):
        await addresses(allowed().target("https://inside.example.com/"), lookup)


async def test_a_name_that_cannot_be_looked_up_is_unreachable() -> None:
    async def lookup(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(Unreachable, match="unresolved"):
        await addresses(allowed().target("https://inside.example.com/"), lookup)
