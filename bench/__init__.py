"""`make bench`: time, memory and traffic of the product beside alternative tools, in one run on one machine.

Other programs share the machine, so ratios count and absolute figures mean little; no figure fails a build. `table`
holds the results of a measurement, `stack` the servers.
"""
