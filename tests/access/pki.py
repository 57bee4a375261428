"""Certificates, policies and tokens for tests, made by the same code and commands that an operator uses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import grpc
from click.testing import CliRunner

import gerbang
from access.requests import REQUESTS
from gerbang.v1.matching_service_pb2_grpc import MatchingServiceStub
from gerbang.v1.watchlist_service_pb2_grpc import WatchlistServiceStub
from gerbang_service.access.certificate_authority import Authority
from gerbang_service.cli.root import root
from rpc.wire import PLAIN, TIMEOUT_S, of_error
from running import KEY, RunningServer

TEMPLATES = ("--pack", "none", "--dimension", "16", "--threshold", "0.5")
ROLES = ("gate", "counter", "enrolment", "auditor", "admin")


class Pki:
    """A folder with an authority, and clients of it by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder)
        self.authority.issue_server("server", ["localhost", "127.0.0.1"])
        self.policy = folder / "policy.toml"

    def client(self, name: str, role: str = "", watchlists: tuple[str, ...] = (), days: int = 397) -> None:
        """Issue a client's certificate; with a role its policy too."""
        self.authority.issue_client(name, days)
        if role:
            with self.policy.open("a") as file:
                lists = f"watchlists = {json.dumps(watchlists)}\n" if watchlists else ""
                file.write(f'[[identity]]\nsan = "{name}"\nrole = "{role}"\n{lists}')

    def write_policy(self, text: str) -> None:
        """Replace the policy, at once as a careful operator would: half of it may happen to be read."""
        new = self.policy.with_suffix(".new")
        new.write_text(text)
        new.replace(self.policy)

    def credentials(self, name: str = "", *, ca: Path | None = None) -> grpc.ChannelCredentials:
        """Return the credentials of a client, or of one without a certificate."""
        pem, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        own = {"certificate": pem, "key": key} if name else {}
        return gerbang.tls(ca=ca or self.folder / "ca.pem", **own)

    @property
    def tls(self) -> tuple[str, ...]:
        """The server's options for TLS alone."""
        return (
            *("--tls-certificate", str(self.folder / "server.pem")),
            *("--tls-key", str(self.folder / "server.key")),
        )

    @property
    def mutual(self) -> tuple[str, ...]:
        """The server's options for mutual TLS."""
        return (*self.tls, "--client-ca", str(self.folder / "ca.pem"), "--policy", str(self.policy))


class GuardedServer(RunningServer):
    """A server with client certificates at `address`, and tokens at `tokens`; of templates of 16 dimensions."""

    def __init__(self, data: Path, pki: Pki, *options: str) -> None:
        arguments = (*TEMPLATES, *pki.mutual, "--token-listen", "127.0.0.1:0", *options)
        super().__init__(data, *arguments, wait_ready=False)
        said = self.expect("listening for tokens on ")
        self.tokens = said.removeprefix("listening for tokens on ")
        self.expect("ready")


class SecureWire:
    """Both services of a server over TLS, perhaps with a token; nothing is repeated behind a test's back."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials, token: str = "") -> None:
        # A connection of its own, as another machine's would be.
        options = (*PLAIN, ("grpc.use_local_subchannel_pool", 1))
        self.channel = grpc.secure_channel(address, credentials, options)
        self._metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token}"),) if token else ()
        self._stubs: tuple[Any, ...] = MatchingServiceStub(self.channel), WatchlistServiceStub(self.channel)

    def call(self, rpc: str, request: Any) -> Any:
        """Call an rpc by name; of a stream, send one request and return the first answer."""
        method = next(getattr(each, rpc) for each in self._stubs if hasattr(each, rpc))
        if isinstance(method, grpc.StreamStreamMultiCallable):
            return next(method(iter([request]), timeout=TIMEOUT_S, metadata=self._metadata))
        return method(request, timeout=TIMEOUT_S, metadata=self._metadata)

    def reason(self, rpc: str = "GetServerInfo") -> str:
        """Call an rpc and return the reason why it failed: "OK" when it did not, gRPC's status when there is none."""
        try:
            self.call(rpc, REQUESTS[rpc])
        except grpc.RpcError as error:
            failed = of_error(error)
            return failed.reason or failed.code.name
        return "OK"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


def gerbang_command(*arguments: str) -> str:
    """Run a `gerbang` command that must succeed; return what it printed on stdout."""
    done = CliRunner().invoke(root, arguments, prog_name="gerbang", env={"GERBANG_KEY": KEY})
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.stdout


def new_token(data: Path, role: str, *options: str) -> dict[str, Any]:
    """Make a token with `gerbang token create`; returns its document."""
    made: dict[str, Any] = json.loads(
        gerbang_command("token", "create", "--data", str(data), "--role", role, "--json", *options)
    )
    return made


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, at most so long; tell whether it did."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()
