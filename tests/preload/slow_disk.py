# SPDX-License-Identifier: MIT
"""A disk in a guest's memory that takes a while for each request, any number of them at once: null_blk, by configfs."""
import os
import subprocess
import tempfile

CONFIG = "/sys/kernel/config/nullb"


class SlowDisk:
    """/dev/nullbN with an ext4, until close(). Root's, as all of a guest is."""

    def __init__(self, number, request_ms, size_mib=256):
        if not os.path.isdir(CONFIG):
            subprocess.run(["mount", "-t", "configfs", "configfs", "/sys/kernel/config"], check=True)
        self.config = os.path.join(CONFIG, "nullb%d" % number)
        self.device, self.dir = "/dev/nullb%d" % number, None
        os.mkdir(self.config)
        # queue_mode 2: as disks have them; irqmode 2: a timer ends each request.
        self.set(memory_backed=1, size=size_mib, queue_mode=2, irqmode=2, completion_nsec=int(1e6 * request_ms), power=1)

    def set(self, **settings):
        for name, value in settings.items():
            with open(os.path.join(self.config, name), "w", encoding="ascii") as file:
                file.write(str(value))

    def mount(self):
        """Its directory, with a journal as usual."""
        if not self.dir:
            subprocess.run(["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", self.device], check=True)
            self.dir = tempfile.mkdtemp(prefix="taio-disk.")
            subprocess.run(["mount", "-o", "noatime", self.device, self.dir], check=True)
        return self.dir

    def close(self):
        if self.dir:
            subprocess.run(["umount", self.dir], check=True)
            os.rmdir(self.dir)
        self.set(power=0)
        os.rmdir(self.config)
