"""The P2P server: tells askers which address they are seen from (STUN, RFC 8489 and 5780)."""
