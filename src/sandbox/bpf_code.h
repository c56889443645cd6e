/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Programs for the kernel's BPF machine, written down as instructions: a compiler for BPF
 * would be a build dependency, for some hundred instructions. The instructions are those of
 * Documentation/bpf/standardization/instruction-set.rst.
 */

#include <assert.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define BPF_CODE_MAX 256  /* instructions */
#define BPF_LABELS_MAX 16 /* of a program, which numbers them from BPF_LABEL_FIRST */
#define BPF_LABEL_FIRST 1

typedef struct Assembler {
        struct bpf_insn code[BPF_CODE_MAX];
        int jump_to[BPF_CODE_MAX]; /* of jumps, whose target may not be known yet: its label */
        size_t n;
        size_t place[BPF_LABELS_MAX];
} Assembler;

static inline void
emit(Assembler *a, uint8_t code, uint8_t dst, uint8_t src, int off, int32_t imm) {
        assert(a->n < BPF_CODE_MAX);

        a->code[a->n++] = (struct bpf_insn){
                .code = code,
                .dst_reg = dst & 0xf,
                .src_reg = src & 0xf,
                .off = (int16_t)off,
                .imm = imm,
        };
}

static inline void move(Assembler *a, uint8_t dst, uint8_t src) {
        emit(a, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static inline void set(Assembler *a, uint8_t dst, int32_t value) {
        emit(a, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value);
}

static inline void alu(Assembler *a, uint8_t operation, uint8_t dst, int32_t value) {
        emit(a, BPF_ALU64 | operation | BPF_K, dst, 0, 0, value);
}

/* @size: BPF_B, BPF_H, BPF_W, BPF_DW */
static inline void load(Assembler *a, uint8_t size, uint8_t dst, uint8_t base, int off) {
        emit(a, BPF_LDX | BPF_MEM | size, dst, base, off, 0);
}

static inline void store(Assembler *a, uint8_t size, uint8_t base, int off, uint8_t src) {
        emit(a, BPF_STX | BPF_MEM | size, base, src, off, 0);
}

static inline void store_value(Assembler *a, uint8_t size, uint8_t base, int off, int32_t value) {
        emit(a, BPF_ST | BPF_MEM | size, base, 0, off, value);
}

static inline void call(Assembler *a, int32_t function) {
        emit(a, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

/* The address of map @map_fd, for a helper. */
static inline void map_address(Assembler *a, uint8_t dst, int map_fd) {
        /* BPF_LD and BPF_IMM are both 0, and written down nevertheless. */
        /* NOLINTNEXTLINE(misc-redundant-expression) */
        emit(a, BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, map_fd);
        emit(a, 0, 0, 0, 0, 0);
}

static inline void leave(Assembler *a, int32_t status) {
        set(a, BPF_REG_0, status);
        emit(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static inline void stack_address(Assembler *a, uint8_t dst, int off) {
        move(a, dst, BPF_REG_10);
        alu(a, BPF_ADD, dst, off);
}

/* r0 = the element of map @map_fd whose key is on the stack, or NULL. */
static inline void look_up(Assembler *a, int map_fd, int stack_key) {
        map_address(a, BPF_REG_1, map_fd);
        stack_address(a, BPF_REG_2, stack_key);
        call(a, BPF_FUNC_map_lookup_elem);
}

/* r0 = 0, or a negative errno: -EEXIST if there is one. */
static inline void add_new(Assembler *a, int map_fd, int stack_key, int stack_value) {
        map_address(a, BPF_REG_1, map_fd);
        stack_address(a, BPF_REG_2, stack_key);
        stack_address(a, BPF_REG_3, stack_value);
        set(a, BPF_REG_4, BPF_NOEXIST);
        call(a, BPF_FUNC_map_update_elem);
}

/* The same, and one that is there gets the value. */
static inline void put(Assembler *a, int map_fd, int stack_key, int stack_value) {
        map_address(a, BPF_REG_1, map_fd);
        stack_address(a, BPF_REG_2, stack_key);
        stack_address(a, BPF_REG_3, stack_value);
        set(a, BPF_REG_4, BPF_ANY);
        call(a, BPF_FUNC_map_update_elem);
}

/* r0 = 0, or -ENOENT. */
static inline void take_out(Assembler *a, int map_fd, int stack_key) {
        map_address(a, BPF_REG_1, map_fd);
        stack_address(a, BPF_REG_2, stack_key);
        call(a, BPF_FUNC_map_delete_elem);
}

/* Adds register @src to the 8 bytes at @base, whatever other processors do. */
static inline void add_atomically(Assembler *a, uint8_t base, int off, uint8_t src) {
        emit(a, BPF_STX | BPF_ATOMIC | BPF_DW, base, src, off, BPF_ADD);
}

/* The same, and then @src is what was there before. */
static inline void fetch_and_add(Assembler *a, uint8_t base, int off, uint8_t src) {
        emit(a, BPF_STX | BPF_ATOMIC | BPF_DW, base, src, off, BPF_ADD | BPF_FETCH);
}

/* Register @src and the 8 bytes at @base change places. */
static inline void exchange(Assembler *a, uint8_t base, int off, uint8_t src) {
        emit(a, BPF_STX | BPF_ATOMIC | BPF_DW, base, src, off, BPF_XCHG);
}

/* The 8 bytes at @base become @src if they are r0; r0 = what was there before. */
static inline void compare_and_exchange(Assembler *a, uint8_t base, int off, uint8_t src) {
        emit(a, BPF_STX | BPF_ATOMIC | BPF_DW, base, src, off, BPF_CMPXCHG);
}

static inline void jump_if(Assembler *a, uint8_t condition, uint8_t reg, int32_t value, int to) {
        a->jump_to[a->n] = to;
        emit(a, BPF_JMP | condition | BPF_K, reg, 0, 0, value);
}

/* 32 bits: an immediate with the top bit set would be sign-extended in a 64-bit compare. */
static inline void
jump_if_word(Assembler *a, uint8_t condition, uint8_t reg, uint32_t value, int to) {
        a->jump_to[a->n] = to;
        emit(a, BPF_JMP32 | condition | BPF_K, reg, 0, 0, (int32_t)value);
}

static inline void
jump_if_reg(Assembler *a, uint8_t condition, uint8_t reg, uint8_t other, int to) {
        a->jump_to[a->n] = to;
        emit(a, BPF_JMP | condition | BPF_X, reg, other, 0, 0);
}

static inline void jump(Assembler *a, int to) {
        a->jump_to[a->n] = to;
        emit(a, BPF_JMP | BPF_JA, 0, 0, 0, 0);
}

static inline void place(Assembler *a, int label) {
        a->place[label] = a->n;
}

/* The last step: fills in where the jumps go. */
static inline void link_labels(Assembler *a) {
        for (size_t i = 0; i < a->n; i++)
                if (a->jump_to[i] != 0) {
                        assert(a->place[a->jump_to[i]] != 0);
                        a->code[i].off =
                                (int16_t)((ptrdiff_t)a->place[a->jump_to[i]] - (ptrdiff_t)i - 1);
                }
}
