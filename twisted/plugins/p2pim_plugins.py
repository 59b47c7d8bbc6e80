"""What ``twistd`` offers when p2pim is installed."""

from twisted.application.service import ServiceMaker

server = ServiceMaker("p2pim server", "p2pim.taps.server", "The p2pim server for clients.", "p2pim-server")
peer = ServiceMaker("p2pim peer", "p2pim.taps.peer", "A person's own p2pim agent.", "p2pim-peer")
p2p = ServiceMaker("p2pim P2P server", "p2pim.taps.p2p", "Tells peers the addresses they are seen from.", "p2pim-p2p")
