/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bombs.h"

static char block[1 << 20];

static void fill_one_file(int number, int sync_it) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/tmp/fill.%d.%d", (int)getpid(), number);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                return;
        for (int i = 0; i < 64; i++)
                if (write(fd, block, sizeof(block)) < (ssize_t)sizeof(block)) {
                        going();
                        break;
                }
        if (sync_it)
                (void)fsync(fd);
        (void)close(fd);
}

/* Fills, and keeps it full; where memory is the disk, the kernel may kill for it. */
static void disk(void) {
        memset(block, 'd', sizeof(block));
        for (int n = 0;; n++) {
                fill_one_file(n % 512, 0);
                if (n == 24)
                        going(); /* a large quota need not be reached to be in the way */
        }
}

static void sync_disk(void) {
        for (int n = 0;; n++) {
                int fd = open("/tmp/sync", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

                for (int i = 0; i < 16; i++) {
                        (void)!write(fd, block, 4096);
                        (void)fsync(fd);
                }
                (void)close(fd);
                fill_one_file(n % 4, 1);
        }
}

static void syncs(void) {
        keep_spreading(4, sync_disk);
}

static void inodes(void) {
        char path[64];

        for (unsigned n = 0;; n++) {
                int fd;

                (void)snprintf(path, sizeof(path), "/tmp/inodes.%u", n / 10000);
                (void)mkdir(path, 0700);
                (void)snprintf(path, sizeof(path), "/tmp/inodes.%u/%u", n / 10000, n);
                fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0 || n == 20000)
                        going();
                if (fd >= 0)
                        (void)close(fd);
        }
}

/* Names that are not there: each leaves an entry in the kernel's cache. */
static void missing_names(void) {
        char path[64];

        for (unsigned n = 0;; n++) {
                (void)snprintf(path, sizeof(path), "/tmp/%x.%d", n, (int)getpid());
                (void)access(path, F_OK);
        }
}

static void dentries(void) {
        keep_spreading(4, missing_names);
}

static void deep(void) {
        for (;;) {
                if (mkdir("d", 0700) < 0 && errno != EEXIST)
                        going();
                if (chdir("d") < 0)
                        (void)chdir("/tmp");
        }
}

/* Directories in each other, deeper than any path can say. */
static void depth(void) {
        (void)chdir("/tmp");
        spread(1, deep);
        going();
        deep();
}

/* Chains of folders, then folders side by side: what is slow to remove, up to the quota. It is in the
 * way long before. */
static void trees(void) {
        int side_by_side = 0;
        char name[32];

        (void)chdir("/tmp");
        for (unsigned n = 0;; n++) {
                int r;

                if (n == 10000)
                        going();
                (void)snprintf(name, sizeof(name), "tree.%u", n);
                r = mkdir(name, 0700) < 0 ? -errno : 0;
                if (r == -EDQUOT || r == -ENOSPC) {
                        going();
                        (void)usleep(10000);
                } else if (r < 0 || n % 1000 == 999) { /* AppArmor refuses what is too deep */
                        side_by_side = !side_by_side;
                        (void)chdir("/tmp");
                } else if (!side_by_side) {
                        (void)chdir(name);
                }
        }
}

/* From folder to folder: a file system has one lock for that, and all dynos' scratch is in one. */
static void rename_across(void) {
        char a[32], b[32];

        (void)chdir("/tmp");
        (void)mkdir("a", 0700);
        (void)mkdir("b", 0700);
        (void)snprintf(a, sizeof(a), "a/%d", (int)getpid());
        (void)snprintf(b, sizeof(b), "b/%d", (int)getpid());
        (void)mkdir(a, 0700);
        for (;;) {
                (void)rename(a, b);
                (void)rename(b, a);
        }
}

/* So many that whoever has the lock must often wait for a processor. */
static void renames(void) {
        keep_spreading(64, rename_across);
}

/* Many files with few locks each: their lists are short, so that nothing slows it down. */
static void take_locks(void) {
        char name[32];

        for (unsigned file = 0;; file++) {
                int fd;

                (void)snprintf(name, sizeof(name), "/tmp/locks-%u", file % 8000);
                fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
                if (fd < 0)
                        going();
                for (long n = 0; n < 300; n++) {
                        struct flock lock = {.l_type = F_WRLCK, .l_start = n * 2, .l_len = 1};

                        if (fcntl(fd, F_SETLK, &lock) < 0)
                                break;
                }
                if (file == 100)
                        going();
        }
}

static void read_accounts(void) {
        static const char *const paths[] = {
                "/sys/fs/cgroup/memory.stat",
                "/sys/fs/cgroup/cpu.stat",
                "/sys/fs/cgroup/io.stat",
                "/sys/fs/cgroup/memory.numa_stat",
                "/proc/self/smaps",
                "/proc/self/mountinfo",
                "/proc/stat",
                "/proc/meminfo",
                "/proc/net/tcp",
        };
        static char text[65536];

        for (unsigned n = 0;; n++) {
                int fd = open(paths[n % (sizeof(paths) / sizeof(paths[0]))], O_RDONLY | O_CLOEXEC);

                if (fd < 0)
                        continue;
                while (read(fd, text, sizeof(text)) > 0)
                        ;
                (void)close(fd);
        }
}

/* Files that the kernel makes up when they are read, some of them under one lock for all. */
static void accounts(void) {
        keep_spreading(8, read_accounts);
}

/* Lines as fast as anybody takes them. */
static void log_flood(void) {
        static char lines[8192];

        for (size_t i = 0; i < sizeof(lines); i++)
                lines[i] = i % 128 == 127 ? '\n' : 'L';
        going();
        for (;;)
                (void)!write(STDOUT_FILENO, lines, sizeof(lines));
}

static void short_lines(void) {
        going();
        for (;;)
                (void)!write(STDOUT_FILENO, "\n", 1);
}

/* At the end of the quota, over and over: ext4 then tries every smaller number of blocks. */
static void preallocate(void) {
        static const off_t sizes[] = {(off_t)1 << 42, (off_t)1 << 27, (1 << 24) - 4096};
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        off_t at = 0;

        for (size_t i = 0;; i = (i + 1) % (sizeof(sizes) / sizeof(sizes[0])))
                if (fallocate(fd, 0, at, sizes[i]) == 0)
                        at += sizes[i];
                else if (errno == EDQUOT || errno == ENOSPC)
                        going();
}

static void preallocations(void) {
        keep_spreading(4, preallocate);
}

const Bomb bombs_file[] = {
        {"disk", "bytes of scratch", disk},
        {"syncs", "the disk's attention", syncs},
        {"inodes", "inodes of scratch", inodes},
        {"dentries", "the cache of names", dentries},
        {"depth", "depth of directories", depth},
        {"trees", "the time of whoever removes them", trees},
        {"preallocations", "processors, where the quota ends", preallocations},
        {"renames", "the lock of renames", renames},
        {"locks", "file locks, for which nobody is charged", take_locks},
        {"accounts", "locks of the kernel's accounts", accounts},
        {"log", "the logger, by volume", log_flood},
        {"log-lines", "the logger, by lines", short_lines},
        {NULL, NULL, NULL},
};
