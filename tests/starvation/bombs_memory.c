/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
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

const Bomb bombs_memory[] = {
        {"memory", "memory, until the dyno is killed", memory},
        {"reclaim", "the page cache", reclaim},
        {"faults", "page faults and TLBs", faults},
        {"mappings", "mappings of a process", mappings},
        {"barriers", "time of other processors", barriers},
        {"shm", "/dev/shm", shm},
        {"memfds", "memory in descriptors", memfds},
        {NULL, NULL, NULL},
};
