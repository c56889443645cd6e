/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a hostile dyno does to its neighbours' share of the machine. A bomb takes all it
 * can get of one resource and goes on taking until it is killed: it never gives up at
 * the first refusal, and it says "going" once, when it has reached what limits it (or,
 * without a limit to reach, at full speed).
 */

#include <stddef.h>

typedef struct Bomb {
        const char *name;
        const char *takes; /* what is to run out */
        void (*run)(void); /* does not return */
} Bomb;

/* Tables end with an empty name. */
extern const Bomb bombs_memory[], bombs_process[], bombs_file[], bombs_kernel[], bombs_network[];

/* Says once that the bomb is at its work. */
void going(void);

/* @n children that run @work, which does not return; as many as there can be. */
void spread(unsigned n, void (*work)(void));

/* The same for ever: children that ended, for whatever reason, are replaced. */
void keep_spreading(unsigned n, void (*work)(void)) __attribute__((noreturn));

/* A neighbour that works hard and means no harm: one busy process per processor. */
void benign(void);

int serve(unsigned short port);
int load_renames(unsigned count, unsigned rate);
int load(const char *address, unsigned short port, unsigned count, unsigned rate);
