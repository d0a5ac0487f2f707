"""Micro-batch transport, ledger and restore: the home of Faust, aiokafka and RocksDB details."""
