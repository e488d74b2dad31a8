"""Empty the connection table of the namespace that this runs in (``python -m tests.netlab.conntrack``).

The same as ``conntrack -F``, over netlink (linux/netfilter/nfnetlink_conntrack.h), for few systems have that tool.
"""

import os
import socket
import struct

NETLINK_NETFILTER = 12
CT_DELETE = (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE; without attributes it means all entries
NLM_F_REQUEST, NLM_F_ACK = 1, 4
HEADER, NFGENMSG = struct.Struct("=IHHII"), struct.Struct("=BBH")


def flush() -> None:
    """Raises :class:`OSError` where the kernel refuses."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as netlink:
        length = HEADER.size + NFGENMSG.size
        head = HEADER.pack(length, CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, 1, 0)
        netlink.send(head + NFGENMSG.pack(socket.AF_UNSPEC, 0, 0))
        (error,) = struct.unpack_from("=i", netlink.recv(4096), HEADER.size)
    if error:
        raise OSError(-error, os.strerror(-error))


if __name__ == "__main__":
    flush()
