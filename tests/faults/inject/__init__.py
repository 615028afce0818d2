"""Ways to break a real server on this machine, each of which bites, and is gone when its `with` block ends.

`shim` gets between a server and its file system calls, `disks` puts a server's data on a file system of its own, `cgroups`
freezes and throttles processes, `clocks` moves the time that one process sees. Root, Linux with cgroup v1.
"""
