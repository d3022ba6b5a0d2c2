"""A whole data set attributed into tables, shard by shard, resumed where it ended.

Imports `engine`. Another engine (machines, queues) stands beside `ray`.
"""
