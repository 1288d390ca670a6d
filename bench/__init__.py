"""Benchmarks on a real Kafka and Redis, as ratios in one run on one machine."""
