/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bombs.h"

#define MB ((size_t)1 << 20)

/* The dyno's own limit, as every runtime reads it; where there is none, a modest number. */
static size_t memory_limit(void) {
        unsigned long long limit = 0;
        FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");

        if (!f || fscanf(f, "%llu", &limit) != 1)
                limit = 256 * MB;
        if (f)
                (void)fclose(f);
        return (size_t)limit;
}

/* Up to the limit and over it: the dyno dies of it. "going" comes near the end. */
static void memory(void) {
        size_t limit = memory_limit();

        for (size_t got = 0;; got += MB) {
                char *p =
                        mmap(NULL, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (p == MAP_FAILED)
                        continue;
                memset(p, 1, MB);
                if (got > limit / 2)
                        going();
        }
}

/* Most of the limit held, the rest fought for with files that are written and read. */
static void reclaim(void) {
        size_t hold = memory_limit() / 10 * 8;
        char *p = mmap(NULL, hold, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static char block[MB];
        int fd = open("/tmp/reclaim", O_RDWR | O_CREAT | O_TRUNC, 0600);

        if (p != MAP_FAILED)
                memset(p, 1, hold);
        going();
        for (;;) {
                (void)lseek(fd, 0, SEEK_SET);
                for (int i = 0; i < 256; i++)
                        if (write(fd, block, sizeof(block)) < 0)
                                break;
                (void)lseek(fd, 0, SEEK_SET);
                while (read(fd, block, sizeof(block)) > 0)
                        ;
        }
}

static void map_and_unmap(void) {
        for (;;) {
                char *p = mmap(
                        NULL, 8 * MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (p == MAP_FAILED)
                        continue;
                for (size_t i = 0; i < 8 * MB; i += 4096)
                        p[i] = 1;
                for (size_t i = 0; i < 8 * MB; i += 65536)
                        (void)mprotect(p + i, 4096, PROT_READ);
                (void)munmap(p, 8 * MB);
        }
}

/* Page faults and, with several threads' worth of processes, shoot-downs on all processors. */
static void faults(void) {
        keep_spreading(4, map_and_unmap);
}

/* As many mappings as one process may have. */
static void mappings(void) {
        for (;;)
                if (mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
                        going();
}

static void barrier(void) {
        for (;;)
                (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

/* Interrupts to the other processors, whoever runs there. */
static void barriers(void) {
        (void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
        keep_spreading(4, barrier);
}

static void shm(void) {
        static char block[MB];
        int fd = open("/dev/shm/bomb", O_RDWR | O_CREAT | O_TRUNC, 0600);

        for (;;)
                if (write(fd, block, sizeof(block)) < (ssize_t)sizeof(block))
                        going();
}

static void memfds(void) {
        static char block[MB / 16];

        for (unsigned n = 0;; n++) {
                int fd = (int)syscall(SYS_memfd_create, "bomb", 0);

                if (n == 500)
                        going(); /* it is memory that ends this */
                if (fd < 0)
                        continue;
                (void)!write(fd, block, sizeof(block));
        }
}

#define CONVOY_RANGES 30000
#define CONVOY_THREADS 200
#define CONVOY_BYTES ((size_t)32768)

static char *convoy; /* what is written, and ranges behind it that are all one page of a file */
static const size_t convoy_size = CONVOY_BYTES + (size_t)CONVOY_RANGES * 4096;
static volatile sig_atomic_t convoy_is_complete; /* before, nobody could join */

static void *change_ranges(void *unused) {
        while (!convoy_is_complete)
                (void)usleep(1000);
        for (;;) {
                (void)mprotect(convoy, convoy_size, PROT_READ);
                (void)mprotect(convoy, convoy_size, PROT_READ | PROT_WRITE);
        }
        return unused;
}

/*
 * Who writes to a pipe holds its lock while the kernel reads the writer's memory. Here each page of
 * that is to be made anew, and waits for two hundred threads that change the process's mappings.
 */
static void keep_readers_waiting(void) {
        int fd = (int)syscall(SYS_memfd_create, "convoy", 0);
        pthread_attr_t attr;

        convoy =
                mmap(NULL, convoy_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (convoy == MAP_FAILED || ftruncate(fd, 4096) < 0)
                return;
        for (size_t at = CONVOY_BYTES; at < convoy_size; at += 4096)
                if (mmap(convoy + at, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
                        return;

        (void)pthread_attr_init(&attr);
        (void)pthread_attr_setstacksize(&attr, 16384);
        for (int i = 0; i < CONVOY_THREADS; i++) {
                pthread_t thread;

                (void)pthread_create(&thread, &attr, change_ranges, NULL);
        }
        going();
        convoy_is_complete = 1;
        for (;;) {
                (void)madvise(convoy, CONVOY_BYTES, MADV_DONTNEED);
                (void)!write(STDOUT_FILENO, convoy, CONVOY_BYTES);
        }
}

const Bomb bombs_memory[] = {
        {"memory", "memory, until the dyno is killed", memory},
        {"reclaim", "the page cache", reclaim},
        {"faults", "page faults and TLBs", faults},
        {"mappings", "mappings of a process", mappings},
        {"barriers", "time of other processors", barriers},
        {"convoy", "the time of who reads its output", keep_readers_waiting},
        {"shm", "/dev/shm", shm},
        {"memfds", "memory in descriptors", memfds},
        {NULL, NULL, NULL},
};
