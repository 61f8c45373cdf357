from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.allowlist import MAX_URL_LENGTH, Allowlist, is_public, receiver_of
from stream_app.errors import RecordError
from stream_app.settings import Settings

LISTED = (
    "hooks.example.com, alerts.example.net:8443, *.example.org, *.example.org:444, 203.0.113.9,"
    "[2001:db8::1]:99, http://127.0.0.1:9000, http://receiver.intern:8080, https://own.intern"
)
SECRET = "whsec_" + "AAAA" * 8


def allowlist(hosts: str = LISTED) -> Allowlist:
    settings = Settings.from_environment(
        {"STORE_UPTIME_WEBHOOK_HOSTS": hosts, "STORE_UPTIME_WEBHOOK_SECRET": SECRET}
    )
    return Allowlist(settings.webhook_hosts)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/a/b?c=d%20e",
        "https://HOOKS.example.COM:443/",
        "https://alerts.example.net:8443/x",
        "https://a.example.org/",
        "https://a.b.example.org:444/",
        "https://203.0.113.9/x",
        "https://[2001:db8::1]:99/",
        "https://[2001:0DB8:0::0001]:99/",
        "http://127.0.0.1:9000/",
        "http://receiver.intern:8080/hook",
        "https://own.intern/",
    ],
)
def test_a_listed_host_may_be_called(url: str) -> None:
    assert str(allowlist().check(url)).startswith("http")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://evil.com/?hooks.example.com",
        "https://hooks.example.com.evil.com/",
        "https://xhooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com./",
        "http://hooks.example.com/",
        "http://hooks.example.com:443/",
        "https://alerts.example.net/",
        "https://example.org/",
        "https://xexample.org/",
        "https://a.example.org:445/",
        "https://203.0.113.9:444/",
        "https://127.0.0.1:9000/",
        "http://127.0.0.1:9001/",
        "http://127.0.0.1/",
        "http://127.1:9000/",
        "http://2130706433:9000/",
        "http://0x7f000001:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://localhost:9000/",
        "https://receiver.intern:8080/",
        "http://own.intern/",
    ],
)
def test_a_host_that_is_not_listed_may_not_be_called(url: str) -> None:
    with pytest.raises(RecordError, match="STORE_UPTIME_WEBHOOK_HOSTS does not list "):
        allowlist().check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (None, "not an https URL"),
        (7, "not an https URL"),
        ("", "not an https URL"),
        ("hooks.example.com", "not an https URL"),
        ("ftp://hooks.example.com/", "not an https URL"),
        ("file:///etc/passwd", "not an https URL"),
        ("//hooks.example.com/", "not an https URL"),
        ("https://hooks.example.com/ x", "not an https URL"),
        ("https://hooks.example.com/\r\nHost: evil", "not an https URL"),
        ("https://evil.com\\@hooks.example.com/", "not an https URL"),
        ("https://hööks.example.com/", "not an https URL"),
        ("https://hooks.example.com/" + "x" * MAX_URL_LENGTH, "not an https URL"),
        ("https://hooks.example.com:port/", "not a URL"),
        ("https://hooks.example.com:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://ann@hooks.example.com/", "no user, no password and no fragment"),
        ("https://ann:x@hooks.example.com/", "no user, no password and no fragment"),
        ("https://hooks.example.com/#x", "no user, no password and no fragment"),
        ("https://hooks.example.com/#", "no user, no password and no fragment"),
    ],
)
def test_a_value_that_is_no_plain_url_is_refused(url: object, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        allowlist().check(url)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "x" * 64,
        ".".join(["x" * 60] * 5),
        "a%2eb",
        "a*b",
        "a~b",
        "a,b",
        "a=b",
    ],
)
def test_an_impossible_host_name_is_refused_even_where_a_wildcard_matches_it(name: str) -> None:
    with pytest.raises(RecordError, match=r"not the name of a host|not a URL|does not list"):
        allowlist().check(f"https://{name}.example.org/hook")


@pytest.mark.parametrize("name", ["a", "a-b", "x" * 63, "xn--bcher-kva", "_a", "a.b.c", "1"])
def test_a_possible_host_name_is_accepted(name: str) -> None:
    assert allowlist().check(f"https://{name}.example.org/hook").raw_host == f"{name}.example.org"


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "4 43", ""])
def test_an_impossible_port_is_refused(port: str) -> None:
    with pytest.raises(RecordError):
        allowlist().check(f"https://hooks.example.com:{port}x/")
    if port:
        with pytest.raises(RecordError):
            allowlist().check(f"https://hooks.example.com:{port}/")


SECRETS = ("T0P", "s3cret", "hunter2")


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/T0P?key=s3cret",
        "https://hooks.example.com:port/T0P?key=s3cret",
        "https://hooks.example.com:99999/T0P?key=s3cret",
        "https://ann:hunter2@hooks.example.com/T0P",
        "https://ann:hunter2@other.example.com/T0P",
        "https://hooks.example.com/T0P#s3cret",
        "https://[::1/T0P",
        "https://.example.org/T0P?s3cret",
        "http://hooks.example.com/T0P",
        "ftp://hooks.example.com/T0P",
        "https://hooks.example.com/T0P s3cret",
    ],
)
def test_a_reason_shows_no_path_no_query_and_no_password(url: str) -> None:
    with pytest.raises(RecordError) as raised:
        allowlist().check(url)
    assert not any(secret in str(raised.value) for secret in SECRETS)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("https://hooks.example.com/T0P?s3cret", "https://hooks.example.com:443"),
        ("https://ann:hunter2@HOOKS.example.com:8443/T0P", "https://hooks.example.com:8443"),
        ("http://[2001:db8::1]:9000/T0P", "http://[2001:db8::1]:9000"),
        ("https://hooks.example.com:99999/T0P", "a URL without a host"),
        ("/T0P?s3cret", "a URL without a host"),
        ("", "a URL without a host"),
        ("mailto:T0P@example.com", "a URL without a host"),
    ],
)
def test_the_receiver_of_a_url_is_all_that_is_shown_of_it(url: str, receiver: str) -> None:
    assert receiver_of(url) == receiver


def test_without_hosts_webhooks_are_off() -> None:
    with pytest.raises(RecordError, match="STORE_UPTIME_WEBHOOK_HOSTS lists no host"):
        allowlist("").check("https://hooks.example.com/")


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)


@given(names, st.integers(1, 65535), st.sampled_from(["http", "https"]))
def test_no_other_host_is_accepted(name: str, port: int, scheme: str) -> None:
    listed = allowlist("hooks.example.com,*.example.org,http://127.0.0.1:9000")
    try:
        listed.check(f"{scheme}://{name}:{port}/")
    except RecordError:
        return
    assert (scheme, port) == ("https", 443)
    assert name == "hooks.example.com" or name.endswith(".example.org")


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.sampled_from(["http", "https"]))
def test_no_other_address_is_accepted(address: IPv4Address | IPv6Address, scheme: str) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    listed = allowlist("hooks.example.com,*.example.org,http://127.0.0.1:9000")
    with pytest.raises(RecordError):
        listed.check(f"{scheme}://{host}/")


@pytest.mark.parametrize(
    ("host", "port", "own"),
    [
        ("127.0.0.1", 9000, True),
        ("receiver.intern", 8080, True),
        ("own.intern", 443, True),
        ("203.0.113.9", 443, True),
        ("hooks.example.com", 443, False),
        ("a.example.org", 443, False),
        ("127.0.0.1", 9001, False),
        ("unknown", 443, False),
    ],
)
def test_only_a_host_of_the_operators_own_may_have_a_private_address(
    host: str, port: int, own: bool
) -> None:
    assert allowlist().may_be_private(host, port) is own


def test_a_host_that_is_listed_in_full_counts_before_a_wildcard() -> None:
    assert allowlist("*.intern.example,https://a.intern.example").may_be_private(
        "a.intern.example", 443
    )


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        "0.0.0.0",  # noqa: S104  nothing listens on it
        *("255.255.255.255", "224.0.0.1", "239.1.1.1", "198.18.0.1", "240.0.0.1"),
        *("::1", "::", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "fe80::1"),
        *("fc00::1", "fec0::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1"),
        # addresses that contain others
        *("64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:7f00:1::"),
    ],
)
def test_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(address: IPv4Address) -> None:
    nat64 = IPv6Address(int(IPv6Address("64:ff9b::")) | int(address))
    assert is_public(f"::ffff:{address}") == is_public(str(nat64)) == is_public(str(address))


@given(
    st.sampled_from(
        ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]
    ).flatmap(lambda network: st.ip_addresses(network=IPv4Network(network)))
)
def test_no_private_network_is_public(address: IPv4Address) -> None:
    assert not is_public(str(ip_address(address)))
