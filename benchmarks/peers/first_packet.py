"""Print when each IPv4/UDP packet from an address arrives on this machine: ``first_packet.py 203.0.113.30``."""

import socket
import sys
import time

ALL_PROTOCOLS = 0x0003
source = socket.inet_aton(sys.argv[1])
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS)) as sniffer:
    print("ready", flush=True)
    while True:
        packet, (_, _, direction, *_) = sniffer.recvfrom(2048)
        arrived = direction != socket.PACKET_OUTGOING
        if arrived and packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP and packet[12:16] == source:
            print(f"{time.time():.6f}", flush=True)
