"""
Plays the service manager for the tests of the daemon: prints what is told, or starts a program with
sockets. Usage: service-manager.py notify PATH | listen ADDRESS:PORT,... [NAME=VALUE ...] -- PROGRAM...
"""

import fcntl
import os
import socket
import sys


def notify(path):
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind("\0" + path[1:] if path.startswith("@") else path)
    print("bound", flush=True)
    while True:
        print(told.recv(4096).decode(), end="--\n", flush=True)


def listen(places, rest):
    sockets = []
    for place in places.split(","):
        if place == "udp":
            sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            continue
        host, port = place.rsplit(":", 1)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, int(port)))
        one.listen(128)
        sockets.append(one)
    at = rest.index("--")
    environment = dict(os.environ, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))
    environment.update(pair.split("=", 1) for pair in rest[:at])
    high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in sockets]
    for index, copy in enumerate(high):
        os.dup2(copy, 3 + index, inheritable=True)
    os.closerange(3 + len(high), 200)
    os.execve(rest[at + 1], rest[at + 1 :], environment)


if sys.argv[1] == "notify":
    notify(sys.argv[2])
else:
    listen(sys.argv[2], sys.argv[3:])
