"""Where topologies come from: files of others, labs, and the random recipe of the stack paper."""
