"""What a shard will take, expected from the description before it is built."""
