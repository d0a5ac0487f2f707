"""Micro-batch transport, ledger and restore: the only home of Faust, aiokafka and RocksDB details."""
