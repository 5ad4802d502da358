"""The Python half of the benchmark's kit: what is sent and checked, the patterns of traffic, and the life of a process."""
