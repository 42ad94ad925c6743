"""Containers of a Kubernetes pod, run as processes in the order of Kubernetes."""

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
    """Pod with local folders as volumes.

    Args:
        manifest: YAML text of the pod.
        folder: Parent of the volumes and working folders.
        settings: Variables that replace variables of the manifest.
    """

    def __init__(self, manifest: str, folder: Path, settings: Mapping[str, str]):
        members: dict[str, Any] = yaml.safe_load(manifest)
        self.name: str = members["metadata"]["name"]
        self.folder, self._settings = folder, settings
        self._spec: dict[str, Any] = members["spec"]

    @property
    def sidecars(self) -> list[dict[str, Any]]:
        """Containers that run beside the others and are stopped after them."""
        return [c for c in self._spec["initContainers"] if "restartPolicy" in c]

    @property
    def sequential_containers(self) -> list[dict[str, Any]]:
        """Containers that run one after the other: init containers first."""
        begin = [c for c in self._spec["initContainers"] if "restartPolicy" not in c]
        return [*begin, *self._spec["containers"]]

    def run(self) -> None:
        """Run all containers; assert that each succeeds."""
        with self.running_sidecars():
            for container in self.sequential_containers:
                assert self.start(container).wait(PATIENCE_SECONDS) == 0

    @contextmanager
    def running_sidecars(self) -> Iterator[None]:
        """Run the sidecars; stop them by SIGTERM at the end of the block."""
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
        """Start a container in its own folder and process group."""
        folder = self.folder / container["name"]
        folder.mkdir(exist_ok=True)
        environment = self._environment(container)
        command = [*container["command"], *container.get("args", [])]
        return subprocess.Popen(
            [self._expand(word, environment) for word in command],
            cwd=folder,
            env=reader_environment(folder, **environment),
            start_new_session=True,
        )

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of a container; mount paths become local folders."""
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
        return os.devnull  # Placeholder: `settings` must contain the secret.

    def _expand(self, word: str, environment: Mapping[str, str]) -> str:
        return re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], word)
