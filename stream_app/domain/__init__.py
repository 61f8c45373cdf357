"""The rules of uptime figures: pure functions without I/O and without a clock of their own."""
