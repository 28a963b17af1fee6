"""`make bench`: what users pay for, measured beside the tools they would use instead, in one run on one machine.

Other programs share the machine while this runs, so absolute figures mean little and ratios count; nothing here ever
fails a build because of a time. `table` is what a measurement gives back, `stack` what it runs on.
"""
