"""The containers of a pod, run as plain processes in the order that Kubernetes has."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml

from tests.support.documents import PATIENCE_SECONDS, reader_environment


class Pod:
    """A pod whose volumes are folders of this machine.

    Args:
        manifest: Text in YAML.
        folder: Where its volumes and working folders lie.
        settings: Variables that replace those of the manifest.
    """

    def __init__(self, manifest: str, folder: Path, settings: Mapping[str, str]):
        members: dict[str, Any] = yaml.safe_load(manifest)
        self.name: str = members["metadata"]["name"]
        self.folder, self._settings = folder, settings
        self._spec: dict[str, Any] = members["spec"]

    @property
    def sidecars(self) -> list[dict[str, Any]]:
        """Containers that run beside the others, and are ended after them."""
        return [c for c in self._spec["initContainers"] if "restartPolicy" in c]

    @property
    def in_turn(self) -> list[dict[str, Any]]:
        """Containers that run to their end one after the other, the work last."""
        begin = [c for c in self._spec["initContainers"] if "restartPolicy" not in c]
        return [*begin, *self._spec["containers"]]

    def run(self) -> None:
        """Run all containers; each has to succeed."""
        with self.sidecars_running():
            for container in self.in_turn:
                assert self.start(container).wait(PATIENCE_SECONDS) == 0

    @contextmanager
    def sidecars_running(self) -> Iterator[None]:
        """Run the sidecars, and end them with SIGTERM after the context."""
        running = [self.start(container) for container in self.sidecars]
        try:
            yield
            for process in running:
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            for process in running:
                process.kill()
                process.wait()

    def start(self, container: Mapping[str, Any]) -> "subprocess.Popen[bytes]":
        """Start a container in a folder of its own, as its own process group."""
        place = self.folder / container["name"]
        place.mkdir(exist_ok=True)
        environment = self._environment(container)
        command = [*container["command"], *container.get("args", [])]
        return subprocess.Popen(
            [self._expanded(word, environment) for word in command],
            cwd=place,
            env=reader_environment(place, **environment),
            start_new_session=True,
        )

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of a container, with its volumes where they lie here."""
        mounts = {
            mount["mountPath"]: str(self.folder / f"volume-{mount['name']}")
            for mount in container["volumeMounts"]
        }
        given = {entry["name"]: self._value(entry) for entry in container["env"]}
        given = {name: mounts.get(value, value) for name, value in given.items()}
        return given | {n: v for n, v in self._settings.items() if n in given}

    def _value(self, entry: Mapping[str, Any]) -> str:
        if "value" in entry:
            return cast("str", entry["value"])
        source: dict[str, Any] = entry["valueFrom"]
        if source == {"fieldRef": {"fieldPath": "metadata.name"}}:
            return self.name
        assert source.keys() == {"secretKeyRef"}
        return os.devnull  # has to be among the settings

    def _expanded(self, word: str, environment: Mapping[str, str]) -> str:
        return re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word)
