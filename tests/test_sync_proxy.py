"""Clients use a proxy where a setting names it and nowhere else; TLS ends at the server, whatever stands between."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.cli.main import main
from support.clients import Office
from sync.documents.enrolment import Invitation
from sync.errors import SyncError
from sync.exchange.connections import UnreachableError
from sync.exchange.transport import Transport
from sync.tablet.client import Tablet

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HOST = "chaski.example"


@dataclass
class Listener:
    """A listening socket, and the first bytes of each connection to it."""

    port: int
    heard: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def listener(talk: object, heard: list[bytes] | None = None) -> Iterator[Listener]:
    """Serve each connection with `talk(connection, heard)` in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Listener(listening.getsockname()[1], heard if heard is not None else [])

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=guarded, args=(connection,), daemon=True).start()

        def guarded(connection: socket.socket) -> None:
            with contextlib.suppress(OSError, ssl.SSLError), connection:
                talk(connection, made.heard)  # type: ignore[operator]

        threading.Thread(target=serve, daemon=True).start()
        yield made
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head


def proxy_to(port: int) -> object:
    """A proxy that makes a tunnel to one port, whatever name it is asked for."""

    def talk(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(read_head(connection))
        with socket.create_connection(("127.0.0.1", port)) as server:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, connection), daemon=True)
            back.start()
            pump(connection, server)
            back.join()

    return talk


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def answering(connection: socket.socket, heard: list[bytes]) -> None:
    heard.append(read_head(connection))
    connection.sendall(ANSWER)


@dataclass(frozen=True)
class Certificate:
    """A server's certificate for HOST, signed by itself, as a file with its key."""

    file: Path

    @property
    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context

    def talk(self, connection: socket.socket, heard: list[bytes]) -> None:
        """Answer over TLS."""
        with self.context.wrap_socket(connection, server_side=True) as tls:
            answering(tls, heard)


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path / "server.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return Certificate(file)


@pytest.fixture
def trusted(certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """The same, as one that this machine believes."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
    return certificate


def test_tls_ends_at_the_server_behind_a_named_proxy(trusted: Certificate) -> None:
    with (
        listener(trusted.talk) as server,
        listener(proxy_to(server.port)) as proxy,
        contextlib.closing(Transport(f"https://{HOST}", proxy=proxy.url)) as transport,
    ):
        assert transport.get("/v1/trust") == b"hello"
    assert proxy.heard[0].startswith(f"CONNECT {HOST}:443 HTTP/1.".encode())
    assert b"/v1/trust" not in b"".join(proxy.heard)
    assert server.heard[0].startswith(b"GET /v1/trust HTTP/1.1\r\n")


def test_a_proxy_that_poses_as_the_server_is_sent_nothing(trusted: Certificate) -> None:
    with (
        listener(trusted.talk) as server,
        listener(proxy_to(server.port)) as proxy,
        contextlib.closing(Transport("https://other.example", proxy=proxy.url)) as transport,
        pytest.raises(UnreachableError, match=r"transport\.bad_certificate: other\.example"),
    ):
        transport.get("/v1/trust")
    assert server.heard == []


def test_a_certificate_that_the_machine_does_not_know_is_refused(certificate: Certificate) -> None:
    with (
        listener(certificate.talk) as server,
        contextlib.closing(Transport(f"https://localhost:{server.port}")) as transport,
        pytest.raises(UnreachableError, match=r"transport\.bad_certificate"),
    ):
        transport.get("/v1/trust")
    assert server.heard == []


def test_a_proxy_that_refuses_or_is_none_means_that_nothing_was_sent() -> None:
    def refuse(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(read_head(connection))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

    def babble(connection: socket.socket, heard: list[bytes]) -> None:
        heard.append(read_head(connection))
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

    for talk in (refuse, babble):
        for url in (f"https://{HOST}", f"http://{HOST}"):
            with (
                listener(talk) as proxy,
                contextlib.closing(Transport(url, proxy=proxy.url)) as transport,
                pytest.raises(UnreachableError) as refused,
            ):
                transport.get("/v1/trust")
            assert str(refused.value) == (
                f"transport.unreachable: no connection to {HOST} through the proxy 127.0.0.1:{proxy.port}"
            )
            assert len(proxy.heard) == 1


def test_a_tablet_with_an_http_invitation_gets_through_a_named_proxy(office: Office, tmp_path: Path) -> None:
    with listener(proxy_to(office.line.server.server_port)) as proxy:
        invitation = Invitation.parse(office.invite())
        named = Invitation(f"http://{HOST}:8080", invitation.code, invitation.pin).to_text()
        folder = ("--tablet", str(tmp_path / "behind"))
        enrolled = CliRunner().invoke(main, ["device", "enrol", named, *folder, "--proxy", proxy.url])
        assert enrolled.exit_code == 0, enrolled.output
        with Tablet(tmp_path / "behind") as tablet:
            office.certify(tablet)
        pulled = CliRunner(env={"CHASKI_PROXY": proxy.url}).invoke(main, ["device", "pull", *folder])
        assert pulled.exit_code == 0, pulled.output
        synced = CliRunner().invoke(main, ["device", "sync", *folder, "--proxy", proxy.url])
        assert synced.exit_code == 0, synced.output
    assert {head.split(b"\r\n")[0].rpartition(b" ")[0] for head in proxy.heard} == {f"CONNECT {HOST}:8080".encode()}


@pytest.mark.parametrize(
    "proxy",
    ["https://127.0.0.1:9", "socks5://127.0.0.1:9", "127.0.0.1:9", "http://a:b@127.0.0.1:9", "http://127.0.0.1"],
)
def test_only_a_plain_http_proxy_with_its_port_is_a_proxy(proxy: str) -> None:
    with pytest.raises(SyncError, match=r"transport\.bad_address"):
        Transport(f"https://{HOST}", proxy=proxy)


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize("variable", PROXIES)
def test_a_proxy_of_the_environment_is_not_obeyed(
    variable: str, office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listener(answering) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with office.desk("proteccion-17") as desk:
            assert desk.list_queues()
        with Tablet(tmp_path / "own") as tablet:
            tablet.enrol(office.invite())
    assert proxy.heard == []


def test_a_password_of_netrc_is_not_sent_and_no_tls_secret_is_written(
    trusted: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login ana password secreto\nmachine 127.0.0.1 login ana password secreto\n")
    netrc.chmod(0o600)
    secrets = tmp_path / "tls-secrets"
    for name, value in (("HOME", tmp_path), ("NETRC", netrc), ("SSLKEYLOGFILE", secrets)):
        monkeypatch.setenv(name, str(value))
    with listener(answering) as plain, contextlib.closing(Transport(plain.url)) as transport:
        assert transport.get("/v1/trust") == b"hello"
    with (
        listener(trusted.talk) as server,
        listener(proxy_to(server.port)) as proxy,
        contextlib.closing(Transport(f"https://{HOST}", proxy=proxy.url)) as transport,
    ):
        assert transport.get("/v1/trust") == b"hello"
    assert b"authorization" not in b"".join([*plain.heard, *server.heard, *proxy.heard]).lower()
    assert not secrets.exists()
