/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels for any CPU of the architecture, and the truth for all others: plain C loops, which
 * the compiler turns into vector code for the instructions that every such CPU has (SSE2 on
 * x86-64). CMake compiles this file with -O3 in all but debug builds, because gcc 12 leaves such
 * loops scalar at -O2, and with -ffp-contract=off, because a fused multiply-add rounds differently
 * from the two operations.
 */
#define KERNELS wh_kernels_scalar
#define ISA     "scalar"
#include "numeric/reduce_table.inc"
