#!/usr/bin/env python3
"""Makes a tree of files as offices have them: sizes are log-normal, 25 files to a folder, the same for the same seed.

    tree.py ROOT FILES [--median BYTES] [--sigma S] [--seed N]

With --median 0 all files are empty but for their number. Prints the number of files and their bytes.
"""
import argparse
import math
import os
import random


def folder_of(root, number):
    group = number // 25
    return os.path.join(root, f"d{group % 40:02d}", f"s{number // 1000:04d}", f"t{group:06d}")


def write(path, number, size, blob, offset):
    with open(path, "wb") as file:
        left = file.write(number.to_bytes(8, "big")[: max(size, 0)] if size else str(number).encode())
        left = size - left
        while left > 0:
            left -= file.write(blob[offset : offset + min(left, 1 << 21)])


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("root")
    args.add_argument("files", type=int)
    args.add_argument("--median", type=float, default=12288)
    args.add_argument("--sigma", type=float, default=1.37)
    args.add_argument("--seed", type=int, default=7)
    args = args.parse_args()
    dice = random.Random(args.seed)
    blob = dice.randbytes(1 << 22)
    total = 0
    for number in range(args.files):
        folder = folder_of(args.root, number)
        if number % 25 == 0:
            os.makedirs(folder, exist_ok=True)
        size = int(dice.lognormvariate(math.log(args.median), args.sigma)) if args.median > 0 else 0
        write(os.path.join(folder, f"file{number:07d}.dat"), number, size, blob, dice.randrange(1 << 21))
        total += size
    print(f"{args.files} files, {total / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
