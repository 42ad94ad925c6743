"""Route to a backend: address, proxy and certificates, checked before their use.

Settings that the connection does not use are not read: the proxy of another scheme, and
`SSL_CERT_FILE` for a connection without TLS.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from trackerapi.errors import SettingsError
from trackerapi.settings.addresses import backend_address, proxy_address
from trackerapi.settings.api_key import refuse_placeholder
from trackerapi.settings.certificates import (
    SSL_CERT_FILE,
    check_certificates,
    check_key_log,
    trust_in,
)
from trackerapi.settings.proxies import ProxyChoice, proxy_for
from trackerapi.settings.sources import Sources, absolute_path

if TYPE_CHECKING:
    import ssl

BASE_URL = "TRACKERAPI_BASE_URL"
CA_FILE = "TRACKERAPI_CA_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Address, proxy and certificates of one backend.

    Attributes:
        base_url: Address of the backend, http or https, in its canonical spelling.
        verify: Whether certificates of the backend are checked.
        ca_file: File of trusted certificates; None for the default certificates.
        trust: TLS context for the backend, from `ca_file` or `SSL_CERT_FILE`; None
            without these settings, or without a check of certificates.
        proxy_trust: TLS context for an https:// proxy, from `SSL_CERT_FILE`; None
            without this setting, or without a check of certificates.
        proxy: Address of the proxy, from the argument or the environment; hidden in
            the repr; None for a direct connection.
        proxy_setting: Argument or variable that named the proxy; empty for a direct
            connection.
        unreadable_no_proxy: Entries of `NO_PROXY` that were ignored.
    """

    base_url: str
    verify: bool = True
    ca_file: Path | None = None
    trust: "ssl.SSLContext | None" = field(default=None, repr=False)
    proxy_trust: "ssl.SSLContext | None" = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    proxy_setting: str = ""
    unreadable_no_proxy: tuple[str, ...] = ()

    @property
    def is_secure(self) -> bool:
        """Whether connections to the backend use TLS."""
        return self.base_url.startswith("https:")

    @property
    def has_secure_proxy(self) -> bool:
        """Whether connections to the proxy use TLS."""
        return self.proxy is not None and self.proxy.lower().startswith("https:")

    @property
    def proxy_text(self) -> str:
        """Text for errors: address of the proxy without user and password, and setting.

        Empty for a direct connection.
        """
        if self.proxy is None:
            return ""
        scheme, _, rest = self.proxy.partition("://")
        host = urlsplit(f"//{rest}").netloc.rpartition("@")[2]
        return f"{scheme}://{host} (from {self.proxy_setting})"

    @classmethod
    def resolve(cls, sources: Sources) -> Self:
        """Read address, proxy and certificates.

        Raises:
            SettingsError: If a value is missing or unusable; names the setting.
        """
        base_url = _base_url(sources)
        choice = _proxy(base_url, sources)
        ca_file, setting = sources.path("ca_file", CA_FILE)
        if ca_file is not None:
            check_certificates(ca_file, setting)
        route = cls(
            base_url=base_url,
            verify=sources.flag("verify", default=True),
            ca_file=ca_file,
            proxy=choice.proxy,
            proxy_setting=choice.variable,
            unreadable_no_proxy=choice.unreadable,
        )
        has_trust = route.is_secure and route.verify
        if not (has_trust or route.has_secure_proxy):
            return route
        check_key_log(sources.environment)
        usual = _usual_trust(sources) if route.has_secure_proxy else None
        trust = None
        if has_trust:
            own = trust_in(ca_file, setting) if ca_file is not None else None
            trust = own or usual or _usual_trust(sources)
        return replace(route, trust=trust, proxy_trust=usual)


def _base_url(sources: Sources) -> str:
    text, setting = sources.text("base_url", BASE_URL)
    if text is None:
        raise SettingsError(
            "no address of the backend; pass base_url= or set this variable, "
            "for example to http://127.0.0.1:8000",
            BASE_URL,
        )
    refuse_placeholder(text, setting, "the address of the backend")
    return backend_address(text, setting)


def _proxy(base_url: str, sources: Sources) -> ProxyChoice:
    if "proxy" in sources.arguments:
        text, setting = sources.text("proxy", "")
        return ProxyChoice(proxy_address(text or "", setting), setting)
    choice = proxy_for(base_url, sources.environment)
    if choice.proxy is not None:
        proxy_address(choice.proxy, choice.variable)
    return choice


def _usual_trust(sources: Sources) -> "ssl.SSLContext | None":
    name = sources.variable(SSL_CERT_FILE)
    if name is None:
        return None
    return trust_in(absolute_path(name, SSL_CERT_FILE), SSL_CERT_FILE)
