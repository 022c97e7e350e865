"""The small parent that every process of ours stands under: restarts it, records its exits, stops it.

It is started with `-I -S` and imports a few modules of the standard library only, so that it starts in some 20 ms and
stays small. That is why this folder uses `os` where the rest of the house uses pathlib and dataclasses.
"""
