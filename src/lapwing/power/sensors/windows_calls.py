"""A tree whose files are what calls of Windows answer. Imported on Windows alone."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from ctypes import wintypes

from lapwing.power.sensors import windows

assert sys.platform == "win32"

_BATTERY_LEVEL, _PROCESSOR_LEVEL = 5, 11  # POWER_INFORMATION_LEVEL
_BATTERY_BYTES, _PROCESSOR_BYTES = 32, 24
_EMI_VERSION, _EMI_METADATA_SIZE, _EMI_METADATA, _EMI_MEASUREMENT = (
    0x224000 + 4 * function for function in range(4)
)
_EMI_BYTES = 16  # of one channel's measurement
_GENERIC_READ, _SHARE_ALL, _OPEN_EXISTING = 0x80000000, 7, 3
_PDH_DOUBLE, _PDH_MORE_DATA = 0x200, 0x800007D2
_PDH_PATH = r"\Thermal Zone Information(*)\High Precision Temperature"

_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateFileW.restype = wintypes.HANDLE
_kernel32.CreateFileW.argtypes = (
    *(wintypes.LPCWSTR, wintypes.DWORD, wintypes.DWORD, wintypes.LPVOID),
    *(wintypes.DWORD, wintypes.DWORD, wintypes.HANDLE),
)
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel32.DeviceIoControl.argtypes = (
    *(wintypes.HANDLE, wintypes.DWORD, wintypes.LPVOID, wintypes.DWORD),
    *(wintypes.LPVOID, wintypes.DWORD, ctypes.POINTER(wintypes.DWORD), wintypes.LPVOID),
)


class _Guid(ctypes.Structure):
    _fields_ = (
        ("a", ctypes.c_uint32),
        ("b", ctypes.c_uint16),
        ("c", ctypes.c_uint16),
        ("d", ctypes.c_ubyte * 8),
    )


class _PdhItem(ctypes.Structure):
    """PDH_FMT_COUNTERVALUE_ITEM_W with a double."""

    _fields_ = (("name", wintypes.LPWSTR), ("status", wintypes.DWORD), ("value", ctypes.c_double))


_EMI_DEVICE = _Guid(0x45BD8344, 0x7ED6, 0x49CF, (0xA4, 0x40, 0xC2, 0x76, 0xC9, 0x33, 0xB0, 0x53))


class Calls:
    """Calls for each reading. See Tree."""

    label, own = "Windows", True

    def __init__(self) -> None:
        self._emi = _emi_devices()

    def text(self, path: str) -> str:
        """See Tree."""
        single: dict[str, Callable[[], bytes]] = {
            windows.STATUS: _power_status,
            windows.BATTERY: lambda: _power_information(_BATTERY_LEVEL, _BATTERY_BYTES),
            windows.PROCESSORS: lambda: _power_information(
                _PROCESSOR_LEVEL, _PROCESSOR_BYTES * (os.cpu_count() or 1)
            ),
        }
        if path in single:
            return single[path]().hex()
        folder, _, name = path.rpartition("/")
        if folder == windows.ZONES:
            zones = _thermal_zones()
            if name in zones:
                return str(round(zones[name]))
        number = folder.rpartition("/")[2]
        if folder.startswith(windows.EMI) and number.isdigit() and int(number) < len(self._emi):
            return _emi(self._emi[int(number)], name).hex()
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def names(self, folder: str) -> list[str]:
        """See Tree."""
        if folder == windows.FOLDER:
            return ["emi", "system_power_status", "thermal"]
        if folder == windows.EMI:
            return [str(number) for number in range(len(self._emi))]
        if folder == windows.ZONES:
            try:
                return sorted(_thermal_zones())
            except OSError:
                return []
        return []


def _fail(what: str, code: int) -> OSError:
    return OSError(f"{what} says error {code & 0xFFFFFFFF:#x}")


def _power_status() -> bytes:
    buffer = ctypes.create_string_buffer(12)
    if not _kernel32.GetSystemPowerStatus(buffer):
        raise _fail("GetSystemPowerStatus", ctypes.get_last_error())
    return buffer.raw


def _power_information(level: int, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    code = ctypes.WinDLL("powrprof").CallNtPowerInformation(level, None, 0, buffer, size)
    if code:
        raise _fail("CallNtPowerInformation", code)
    return buffer.raw


def _emi_devices() -> list[str]:
    """Paths of all energy meters; none where the system knows none."""
    manager, size = ctypes.WinDLL("cfgmgr32"), wintypes.ULONG()
    device = ctypes.byref(_EMI_DEVICE)
    if manager.CM_Get_Device_Interface_List_SizeW(ctypes.byref(size), device, None, 0):
        return []
    buffer = ctypes.create_unicode_buffer(size.value)
    if manager.CM_Get_Device_Interface_ListW(device, None, buffer, size, 0):
        return []
    return [path for path in ctypes.wstring_at(buffer, size.value).split("\0") if path]


def _emi(device: str, file: str) -> bytes:
    """`metadata` or `measurement` of one meter of the second version."""
    handle = _kernel32.CreateFileW(device, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, 0, None)
    if handle == wintypes.HANDLE(-1).value:
        code = ctypes.get_last_error()
        if code == 5:
            raise PermissionError(errno.EACCES, "access denied", device)
        raise _fail("CreateFile", code)
    try:
        version = int.from_bytes(_control(handle, _EMI_VERSION, 2), "little")
        if version != 2:
            raise OSError(f"its energy meter is of version {version}; only 2 is known")
        size = int.from_bytes(_control(handle, _EMI_METADATA_SIZE, 4), "little")
        metadata = _control(handle, _EMI_METADATA, size)
        if file == "metadata":
            return metadata
        return _control(handle, _EMI_MEASUREMENT, _EMI_BYTES * len(windows.emi_channels(metadata)))
    finally:
        _kernel32.CloseHandle(handle)


def _control(handle: int, code: int, size: int) -> bytes:
    buffer, written = ctypes.create_string_buffer(size), wintypes.DWORD()
    if not _kernel32.DeviceIoControl(
        handle, code, None, 0, buffer, size, ctypes.byref(written), None
    ):
        raise _fail("DeviceIoControl", ctypes.get_last_error())
    return buffer.raw[: written.value]


def _thermal_zones() -> dict[str, float]:
    """Tenths of a kelvin by the zone's name, without what a path's separator would be."""
    pdh = ctypes.WinDLL("pdh")
    query, counter = wintypes.HANDLE(), wintypes.HANDLE()
    _check(pdh.PdhOpenQueryW(None, None, ctypes.byref(query)))
    try:
        _check(pdh.PdhAddEnglishCounterW(query, _PDH_PATH, None, ctypes.byref(counter)))
        _check(pdh.PdhCollectQueryData(query))
        size, count = wintypes.DWORD(), wintypes.DWORD()
        ask = pdh.PdhGetFormattedCounterArrayW
        sizes = (ctypes.byref(size), ctypes.byref(count))
        code = ask(counter, _PDH_DOUBLE, *sizes, None)
        if code & 0xFFFFFFFF != _PDH_MORE_DATA:
            _check(code)
        buffer = ctypes.create_string_buffer(size.value)
        _check(ask(counter, _PDH_DOUBLE, *sizes, buffer))
        items = ctypes.cast(buffer, ctypes.POINTER(_PdhItem))
        return {
            items[n].name.replace("\\", "").replace("/", ""): items[n].value
            for n in range(count.value)
            if items[n].status in (0, 1)  # valid, or new
        }
    finally:
        pdh.PdhCloseQuery(query)


def _check(code: int) -> None:
    if code:
        raise _fail("PDH", code)
