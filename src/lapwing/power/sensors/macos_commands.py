"""A tree whose files are what programs of macOS print."""

from __future__ import annotations

import errno
import os
import subprocess

from lapwing.power.sensors import macos

COMMANDS = {
    macos.BATTERY: ("/usr/sbin/ioreg", "-a", "-r", "-n", "AppleSmartBattery"),
    macos.PRESSURE: ("/usr/bin/notifyutil", "-g", "com.apple.system.thermalpressurelevel"),
    macos.MACMON: ("macmon", "pipe", "-s", "1", "-i", "100"),
    macos.POWERMETRICS: (
        "/usr/bin/powermetrics",
        *("-n", "1", "-i", "200", "-f", "plist", "--samplers", "cpu_power,thermal"),
    ),
}


class Commands:
    """Runs a program for each reading. See Tree."""

    label, own = "/", True

    def __init__(self, commands: dict[str, tuple[str, ...]] = COMMANDS) -> None:
        self._commands = commands

    def text(self, path: str) -> str:
        """See Tree."""
        command = self._commands.get(path)
        if command is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if path == macos.POWERMETRICS and os.geteuid() != 0:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=macos.SAMPLE_S
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path) from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()[:100]
            raise OSError(f"{command[0]} failed with {done.returncode}: {said}")
        return done.stdout.decode(errors="replace").strip(" \t\r\n\0")

    def names(self, folder: str) -> list[str]:
        """See Tree."""
        before = folder + "/"
        return sorted(p[len(before) :] for p in self._commands if p.startswith(before))
