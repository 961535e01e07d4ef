"""Hosts run a synchronous engine and give it an asynchronous side.

    hosted     the Hosted… twins of the engines, over any host
    host       queue, deadlines, cancellation and states; knows no threads and no processes
    thread     the engine in threads of this process
    process    the engine in a supervised child process
    lane       one thread that runs one job at a time, on an engine here or on one elsewhere

This package imports nothing by itself, so that a child process stays small.
"""
