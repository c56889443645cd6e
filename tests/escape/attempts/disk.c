/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a file system does for whoever owns a file in it. Natively scratch is a tmpfs, which
 * does nothing of it; the filter answers before it is asked.
 */

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/fsmap.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "escape.h"

#define BLOCK 4096
#define EXT4_MIGRATE _IO('f', 9)
#define EXT4_PRECACHE _IO('f', 18)
#define EXT4_ALLOCATE _IO('f', 12)

struct exchange { /* struct move_extent of fs/ext4 */
        uint32_t reserved, donor_fd;
        uint64_t from, to, length, moved;
};
#define EXT4_EXCHANGE _IOWR('f', 15, struct exchange)

struct where { /* struct fiemap of linux/fiemap.h */
        uint64_t start, length;
        uint32_t flags, mapped, room, reserved;
};
#define WHERE _IOWR('f', 11, struct where)

struct name { /* struct fsuuid of fs/ext4 */
        uint32_t size, flags;
        uint8_t bytes[16];
};
#define EXT4_NAME _IOR('f', 44, uint32_t[2])
struct short_name { /* struct fsuuid2 of linux/fs.h, Linux 6.9 */
        uint8_t size, bytes[16];
};
#define ANY_NAME _IOR(0x15, 0, struct short_name)

static int make_file(void) {
        const char *folder = escape_is_control ? "/var/tmp" : "/tmp";
        char path[64], bytes[BLOCK] = {1};
        int fd;

        (void)snprintf(path, sizeof(path), "%s/escape-%d", folder, (int)getpid());
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        (void)unlink(path);
        return write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes) || fsync(fd) < 0 ? -1 : fd;
}

static int ask(unsigned long request, void *argument) {
        int fd = make_file();

        return fd < 0 ? ATTEMPT_BROKEN : attempt_result(ioctl(fd, request, argument));
}

static int exchange_blocks(void) {
        struct exchange both = {.length = 1};
        int donor = make_file();

        if (donor < 0)
                return ATTEMPT_BROKEN;
        both.donor_fd = (uint32_t)donor;
        return ask(EXT4_EXCHANGE, &both);
}

static int convert_blocks(void) {
        int r = ask(EXT4_MIGRATE, NULL);

        return r == -EINVAL ? 0 : r; /* it looked at the file, and found nothing to convert */
}

static int allocate_blocks(void) {
        return ask(EXT4_ALLOCATE, NULL);
}

static int read_extents(void) {
        return ask(EXT4_PRECACHE, NULL);
}

static int where_on_disk(void) {
        struct where where = {.length = BLOCK};

        return ask(WHERE, &where);
}

/* Every free piece of the file system that all dynos share, and with it what others write. */
static int map_of_all(void) {
        struct fsmap_head all = {
                .fmh_keys =
                        {{0},
                         {.fmr_device = UINT32_MAX,
                          .fmr_flags = UINT32_MAX,
                          .fmr_physical = UINT64_MAX,
                          .fmr_owner = UINT64_MAX,
                          .fmr_offset = UINT64_MAX}},
        };

        return ask(FS_IOC_GETFSMAP, &all);
}

/* Two dynos that learn the same name are on one host, whenever they ask. */
static int name_of_ext4(void) {
        struct name name = {.size = sizeof(name.bytes)};

        return ask(EXT4_NAME, &name);
}

static int name_of_any(void) {
        struct short_name name;

        return ask(ANY_NAME, &name);
}

static int label(void) {
        char text[FSLABEL_MAX];

        return ask(FS_IOC_GETFSLABEL, text);
}

/* Of a file that is not open: what knows how to share would say so first, had it been asked. */
static int share(void) {
        int r = ask(FICLONE, (void *)-1L);

        return r == -EBADF ? 0 : r;
}

static int share_range(void) {
        struct file_clone_range range = {.src_fd = -1};
        int r = ask(FICLONERANGE, &range);

        return r == -EBADF ? 0 : r;
}

static int compare(void) {
        struct file_dedupe_range range = {.src_length = BLOCK, .reserved1 = 1};
        int r = ask(FIDEDUPERANGE, &range);

        return r == -EINVAL ? 0 : r; /* it looked at what no caller may say */
}

static int set_version(void) {
        int version = 1;

        return ask(FS_IOC_SETVERSION, &version);
}

/* Any flag: the kernel's own refusal is for those that keep a file from being removed. */
static int set_flags(void) {
        int flags = FS_NODUMP_FL;

        return ask(FS_IOC_SETFLAGS, &flags);
}

static int append_only(void) {
        int fd = make_file(), flags = 0, r;

        if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
                flags = 0;
        flags |= FS_APPEND_FL;
        r = attempt_result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
        flags &= ~FS_APPEND_FL;
        if (r == 0)
                (void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
        return r;
}

/* A file system that stands still holds up everybody in it. Nothing is frozen by a control. */
static int freeze(void) {
        int fd = open(escape_is_control ? "/proc" : "/app", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return ATTEMPT_BROKEN;
        if (ioctl(fd, FIFREEZE, 0) == 0) {
                (void)ioctl(fd, FITHAW, 0);
                return 0;
        }
        return errno == EOPNOTSUPP ? 0 : -errno; /* allowed, but not by this file system */
}

#define ATTEMPT(n, what, layers, wanted, how, call)                                                \
        {                                                                                          \
                .name = "disk/" n, .tries = what, .stopped_by = layers, .error = wanted,           \
                .control = how, .run = call                                                        \
        }

const Attempt attempts_disk[] = {
        ATTEMPT("exchange",
                "exchange the blocks of two files of ext4",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                exchange_blocks),
        ATTEMPT("convert",
                "convert a file of ext4 while others are written",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                convert_blocks),
        ATTEMPT("allocate",
                "have ext4 allocate blocks that were put off",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                allocate_blocks),
        ATTEMPT("precache",
                "keep extents of ext4 in the kernel's memory",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                read_extents),
        ATTEMPT("where",
                "learn where on the host's disk its files lie",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                where_on_disk),
        ATTEMPT("map-of-all",
                "learn where others write on the disk, and how much",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                map_of_all),
        ATTEMPT("uuid",
                "learn that another dyno is on the same host, by what its disk is called",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                name_of_ext4),
        ATTEMPT("uuid-of-any",
                "the same by the question for all file systems",
                "seccomp",
                ENOTTY,
                CONTROL_USER | CONTROL_NATIVE,
                name_of_any),
        ATTEMPT("label", "the same by its label", "seccomp", ENOTTY, CONTROL_USER, label),
        ATTEMPT("clone",
                "share blocks with another file",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                share),
        ATTEMPT("clone-range",
                "the same for a part of it",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                share_range),
        ATTEMPT("compare",
                "have files compared, to share what is equal",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                compare),
        ATTEMPT("version",
                "change the generation of an inode",
                "seccomp",
                ENOTTY,
                CONTROL_USER | CONTROL_NATIVE, /* not with checksums of metadata */
                set_version),
        ATTEMPT("flags", "change flags of a file", "seccomp", EPERM, CONTROL_USER, set_flags),
        ATTEMPT("append-only",
                "make a file that nobody can remove",
                "seccomp capabilities user apparmor",
                EPERM,
                CONTROL_ROOT,
                append_only),
        ATTEMPT("freeze",
                "freeze the file system that all dynos share",
                "capabilities user apparmor",
                EPERM,
                CONTROL_ROOT,
                freeze),
        {.name = NULL},
};
