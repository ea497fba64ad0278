"""What a preloaded library (shim.cpp) does to one replica: a disk that fails, a clock that is wrong. Both sides map the
same file."""

import ctypes
import mmap


class _Layout(ctypes.LittleEndianStructure):
    _fields_ = [("write_error", ctypes.c_int32), ("sync_error", ctypes.c_int32), ("sync_delay_ms", ctypes.c_uint32),
                ("unused", ctypes.c_uint32), ("clock_offset_ns", ctypes.c_int64), ("failed_writes", ctypes.c_uint64),
                ("failed_syncs", ctypes.c_uint64), ("slow_syncs", ctypes.c_uint64), ("wrong_times", ctypes.c_uint64)]


class ReplicaControl:
    """The file outlives the replica's processes: a fault lasts until heal(), over restarts too."""

    def __init__(self, file):
        self.file = file
        file.write_bytes(bytes(ctypes.sizeof(_Layout)))
        with open(file, "r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), ctypes.sizeof(_Layout))
        self.values = _Layout.from_buffer(self._map)

    def environment(self, library, data):
        return {"LD_PRELOAD": str(library), "PBFT_CHAOS_CONTROL": str(self.file), "PBFT_CHAOS_DATA": str(data)}

    def heal(self):
        self.values.write_error = self.values.sync_error = 0
        self.values.sync_delay_ms = 0
        self.values.clock_offset_ns = 0

    def disk_counts(self):
        """How often it made a difference so far."""
        return self.values.failed_writes + self.values.failed_syncs

    def close(self):
        del self.values
        self._map.close()
