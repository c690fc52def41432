#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gloo through PyTorch, for compare.py: the server of peer.c in Python, value for value.

usage: gloo_peer.py BOARD RANK NRANKS STORE     STORE: a file that does not exist yet

Calls go through torch.distributed, which adds some microseconds to each; that is how Gloo is used.
"""
import mmap
import os
import pathlib
import sys
import time
import warnings

import board
import torch
import torch.distributed as dist

RUN, PHASES, SPAN = 512, 16, 1 << 17 # elements: see peer.c; SPAN: written by one call
TYPES = {0: torch.float32, 1: torch.bfloat16}
NAMES = {value: name for name, value in board.COLLS.items()}


def tables(nranks):
    """input_table and sum_table of peer.c, by type."""
    index = torch.arange(RUN + PHASES)
    total = sum((index + 3 * rank) % PHASES for rank in range(nranks))
    return ({dtype: (index % PHASES).to(kind) for dtype, kind in TYPES.items()},
            {dtype: total.to(kind) for dtype, kind in TYPES.items()})


class Vector:
    """The values of elements first... of a vector."""

    def __init__(self, count, first=0):
        nruns = (first + count + RUN - 1) // RUN
        run = torch.arange(nruns, dtype=torch.int64)
        self.phases = run * 5 + (run >> 4) * 7 + (run >> 8) * 3
        self.count, self.first = count, first

    def make(self, table, salt):
        """Them, from a row of values and (iteration, rank) as one number."""
        # Runs whose phases are equal are rows of one small matrix.
        rows = torch.stack([table[phase:phase + RUN] for phase in range(PHASES)])
        whole = rows[(self.phases + salt) % PHASES].reshape(-1)
        return whole[self.first:self.first + self.count]


class Rank:
    """One rank: its buffers and what it knows of the running command."""

    def __init__(self, the_board, rank, nranks):
        self.board, self.rank, self.nranks = the_board, rank, nranks
        self.inputs, self.sums = tables(nranks)
        self.memory, self.nbytes, self.salt = [], 0, 0
        self.pieces, self.piece = [], None

    def ready(self, nbytes):
        """Anonymous private memory, as the programs in C have."""
        if self.nbytes < nbytes:
            self.release()
            self.nbytes = max(nbytes, 4096)
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self.memory = [torch.frombuffer(mmap.mmap(-1, self.nbytes, flags=flags),
                                            dtype=torch.uint8).zero_() for _ in range(2)]

    def release(self):
        self.memory, self.nbytes = [], 0

    def shape(self, command):
        """The tensors that the operations of a command work on."""
        kind = TYPES[command.dtype]
        elem = kind.itemsize
        total = command.nbytes // elem
        block = total // self.nranks
        self.coll, self.dtype = NAMES[command.coll], command.dtype
        self.ready(command.nbytes)
        in_count = block if self.coll == "all_gather" else total
        out_count = block if self.coll == "reduce_scatter" else total
        self.block, self.total = block, total
        self.source = self.memory[0][:in_count * elem].view(kind)
        self.target = self.memory[1][:out_count * elem].view(kind)
        # torch.distributed reduces in place; out of place would cost it a copy. So the input is
        # written where it is reduced, except where it must outlive the operation.
        self.in_place = self.coll == "all_reduce" and bool(command.flags & board.REFRESH)
        if self.in_place:
            self.source = self.target
        piece = (min(SPAN, in_count), command.dtype)
        if self.piece != piece:
            self.piece = piece
            self.pieces = [Vector(piece[0]).make(self.inputs[self.dtype], key).clone()
                           for key in range(PHASES)]

    def write(self, iteration):
        """Writes the input from prepared pieces: the pattern of SPAN elements at a time."""
        salt = self.salt + iteration + 3 * self.rank
        count = self.source.numel()
        for start in range(0, count, SPAN):
            key = (salt + start // RUN * 5 + (start >> 13) * 7 + (start >> 17) * 3) % PHASES
            n = min(SPAN, count - start)
            self.source[start:start + n].copy_(self.pieces[key][:n])

    def operate(self, iteration):
        if self.coll == "all_reduce":
            if not self.in_place:
                self.target.copy_(self.source)
            dist.all_reduce(self.target)
        elif self.coll == "all_gather":
            dist.all_gather_into_tensor(self.target, self.source)
        elif self.coll == "reduce_scatter":
            dist.reduce_scatter_tensor(self.target, self.source)
        elif self.coll == "broadcast":
            root = iteration % self.nranks
            dist.broadcast(self.source if root == self.rank else self.target, root)
        else:
            dist.all_to_all_single(self.target, self.source)

    def wrong(self, iteration):
        """Wrong elements in the result of the operation of this iteration."""
        salt = self.salt + iteration
        inputs, sums = self.inputs[self.dtype], self.sums[self.dtype]
        if self.coll == "all_reduce":
            return self.differ(self.target, Vector(self.total).make(sums, salt))
        if self.coll == "reduce_scatter":
            want = Vector(self.block, self.rank * self.block).make(sums, salt)
            return self.differ(self.target, want)
        if self.coll == "broadcast":
            root = iteration % self.nranks
            got = self.source if root == self.rank else self.target
            return self.differ(got, Vector(self.total).make(inputs, salt + 3 * root))
        first = self.rank * self.block if self.coll == "all_to_all" else 0
        vector = Vector(self.block, first)
        return sum(self.differ(self.target[r * self.block:(r + 1) * self.block],
                               vector.make(inputs, salt + 3 * r)) for r in range(self.nranks))

    @staticmethod
    def differ(got, want):
        return int((got != want).sum())

    def iterate(self, first, count, refresh):
        for iteration in range(first, first + count):
            if refresh:
                self.write(iteration)
            self.operate(iteration)

    def burst(self, command, slot):
        self.shape(command)
        refresh = bool(command.flags & board.REFRESH)
        last = command.nwarm + command.niters - 1
        if not refresh:
            last = self.nranks * PHASES + last % self.nranks
            self.write(last)
        self.iterate(0, command.nwarm, refresh)
        dist.barrier()
        slot.start_ns = time.monotonic_ns()
        self.iterate(command.nwarm, command.niters, refresh)
        slot.end_ns = time.monotonic_ns()
        # Before the input is written again: it may lie where the result is.
        slot.nwrong = self.wrong(last)
        slot.refresh_start_ns = slot.refresh_end_ns = 0
        if refresh:
            dist.barrier()
            slot.refresh_start_ns = time.monotonic_ns()
            for iteration in range(command.nwarm, command.nwarm + command.niters):
                self.write(iteration)
            slot.refresh_end_ns = time.monotonic_ns()
        dist.barrier()

    def serve(self):
        """Carries out commands until told to quit; false when one failed."""
        data, slot = self.board.data, self.board.data.slots[self.rank]
        slot.pid = os.getpid()
        seq = 1
        while True:
            slot.done = seq
            board.futex_wake(self.board.done_address(self.rank))
            while data.seq == seq:
                if not pathlib.Path(f"/proc/{data.driver_pid}").exists():
                    return False
                board.futex_wait(self.board.base, seq, 5)
            command = data.command
            if command.coll == board.COLLS["quit"]:
                return True
            seq += 1
            self.salt = 7 * (seq - 1)
            try:
                self.burst(command, slot)
            except (RuntimeError, ValueError) as error:
                slot.text = str(error).encode()[:190]
                slot.failed = 1
                slot.done = seq
                board.futex_wake(self.board.done_address(self.rank))
                return False
            if command.flags & board.RELEASE:
                self.release()


def main():
    path, rank, nranks, store = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    the_board = board.Board(path)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore") # newer names of some calls
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=nranks)
    if rank == 0:
        the_board.data.library = f"Gloo of PyTorch {torch.__version__}".encode()
        the_board.data.caps = sum(board.cap(coll, "float32") for coll in board.COLLECTIVES)
        the_board.data.caps |= board.cap("all_reduce", "bfloat16")
    good = Rank(the_board, rank, nranks).serve()
    if good:
        dist.destroy_process_group()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
