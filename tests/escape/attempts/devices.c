/* SPDX-License-Identifier: Apache-2.0 */

/* Devices: making nodes of them, and programs of another system-call table. */

#include <fcntl.h>
#include <ftw.h>
#include <linux/random.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "escape.h"

static int make_and_open(mode_t type, unsigned major, unsigned minor) {
        static const char path[] = "/tmp/escape-node";
        int r;

        (void)unlink(path);
        if (mknod(path, type | 0666, makedev(major, minor)) < 0)
                return -errno;
        r = attempt_open(path, O_RDONLY);
        (void)unlink(path);
        return r;
}

static int node_mem(void) {
        return make_and_open(S_IFCHR, 1, 1);
}

static int node_kmsg(void) {
        return make_and_open(S_IFCHR, 1, 11);
}

static int node_port(void) {
        return make_and_open(S_IFCHR, 1, 4);
}

static int node_tun(void) {
        return make_and_open(S_IFCHR, 10, 200);
}

static int node_fuse(void) {
        return make_and_open(S_IFCHR, 10, 229);
}

static int node_console(void) {
        return make_and_open(S_IFCHR, 5, 1);
}

static int node_loop_control(void) {
        return make_and_open(S_IFCHR, 10, 237);
}

/* The first disk that the kernel tells of: the host's root, as likely as not. */
static int node_disk(void) {
        unsigned major = 254, minor = 0;
        char line[128];
        FILE *f = fopen("/proc/partitions", "re");

        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "%u %u", &major, &minor) == 2) /* NOLINT */
                        break;
        if (f)
                (void)fclose(f);
        return make_and_open(S_IFBLK, major, minor);
}

/* ---- devices that are there ---- */

/* Open to every user where a host has them, and each a large part of its kernel. */
static int named_devices(void) {
        static const char *const paths[] = {
                "/dev/kvm",
                "/dev/vhost-net",
                "/dev/vhost-vsock",
                "/dev/vhost-vdpa-0",
                "/dev/userfaultfd",
                "/dev/fuse",
                "/dev/net/tun",
                "/dev/vfio/vfio",
                "/dev/dri/renderD128",
                "/dev/nvidia0",
                "/dev/udmabuf",
                "/dev/sgx_enclave",
                "/dev/ntsync",
                "/dev/loop-control",
                "/dev/mem",
        };
        int r = ATTEMPT_ABSENT;

        for (size_t i = 0; r == ATTEMPT_ABSENT && i < sizeof(paths) / sizeof(paths[0]); i++) {
                r = attempt_open(paths[i], O_RDONLY);
                if (r == -ENOENT || r == -ENOTDIR)
                        r = ATTEMPT_ABSENT;
        }
        return r;
}

static bool is_pseudo(dev_t device) {
        const unsigned minor_number = minor(device);

        switch (major(device)) {
        case 1: /* null zero full random urandom */
                return minor_number == 3 || minor_number == 5 ||
                       (minor_number >= 7 && minor_number <= 9);
        case 5: /* tty ptmx */
                return minor_number == 0 || minor_number == 2;
        default:
                return major(device) >= 136 && major(device) <= 143; /* terminals of its own */
        }
}

static int find_device(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
        (void)path;
        (void)kind;
        (void)ftw;
        return (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) && !is_pseudo(st->st_rdev);
}

static int any_device(void) {
        int r = nftw("/dev", find_device, 16, FTW_PHYS);

        return r < 0 ? -errno : r > 0 ? 0 : ATTEMPT_NOTHING;
}

/* Its device is everybody's for writing, and all draw on the same pool. */
static int make_chance_up(void) {
        int none = 0, fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, RNDADDTOENTCNT, &none));
}

/* ---- other system-call tables ---- */

/* getpid(2) of a 32-bit program. Its registers are 32 bits wide, so no pointer is passed. */
static int call_of_i386(void) {
#ifdef __x86_64__
        long r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
        return r > 0 ? 0 : (int)r;
#else
        return ATTEMPT_ABSENT;
#endif
}

/* mount(2) of a 32-bit program, with what a filter by 64-bit numbers would take for lseek. */
static int mount_of_i386(void) {
#ifdef __x86_64__
        long r;
        char *low = mmap(
                NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

        if (low == MAP_FAILED)
                return -errno;
        (void)snprintf(low, 64, "tmpfs");
        (void)snprintf(low + 64, 64, "/tmp");
        __asm__ volatile("int $0x80"
                         : "=a"(r)
                         : "a"(21L), "b"(low), "c"(low + 64), "d"(low), "S"(0L), "D"(0L)
                         : "memory", "r8", "r9", "r10", "r11");
        return (int)r;
#else
        return ATTEMPT_ABSENT;
#endif
}

/* A filter that compares numbers alone lets these by, or takes them for unknown ones. */
#define X32_BIT 0x40000000L

static int call_of_x32(void) {
#ifdef __x86_64__
        long r = attempt_call(X32_BIT | SYS_getpid, 0, 0, 0, 0, 0, 0);

        return r == getpid() ? 0 : r < 0 ? (int)r : ATTEMPT_BROKEN;
#else
        return ATTEMPT_ABSENT;
#endif
}

static int mount_of_x32(void) {
#ifdef __x86_64__
        return (int)attempt_call(
                X32_BIT | SYS_mount, (long)"tmpfs", (long)"/tmp", (long)"tmpfs", 0, 0, 0);
#else
        return ATTEMPT_ABSENT;
#endif
}

#define NODE(n, what, how, call)                                                                   \
        {                                                                                          \
                .name = "devices/" n, .tries = what,                                               \
                .stopped_by = "capabilities user nosuid apparmor", .error = EPERM, .control = how, \
                .run = call                                                                        \
        }

const Attempt attempts_devices[] = {
        NODE("mem", "read the machine's memory", CONTROL_ROOT | CONTROL_VM, node_mem),
        NODE("kmsg", "read the kernel's log", CONTROL_ROOT, node_kmsg),
        NODE("port", "reach the machine's ports", CONTROL_ROOT | CONTROL_VM, node_port),
        NODE("disk", "read the host's disk", CONTROL_ROOT | CONTROL_VM, node_disk),
        NODE("tun", "have a link of its own", CONTROL_ROOT | CONTROL_VM, node_tun),
        NODE("fuse", "have a file system of its own", CONTROL_ROOT | CONTROL_VM, node_fuse),
        NODE("console", "write to the host's console", CONTROL_ROOT | CONTROL_VM, node_console),
        NODE("loop-control",
             "attach a file as a disk",
             CONTROL_ROOT | CONTROL_VM,
             node_loop_control),
        {
                .name = "devices/named",
                .tries = "reach KVM, vhost, userfaultfd, a graphics card",
                .stopped_by = "root",
                .error = ATTEMPT_ABSENT,
                .control = CONTROL_ROOT,
                .run = named_devices,
        },
        {
                .name = "devices/any",
                .tries = "find any device in /dev that is none of nothing, chance and terminals",
                .stopped_by = "root",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = any_device,
        },
        {
                .name = "devices/chance",
                .tries = "have the kernel count its own bytes as chance",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = make_chance_up,
        },
        {
                .name = "devices/int80",
                .tries = "make a call by the table of 32-bit programs",
                .stopped_by = "seccomp",
                .error = ATTEMPT_KILLED,
                .control = CONTROL_USER | CONTROL_VM | ATTEMPT_VM, /* not all kernels have them */
                .run = call_of_i386,
        },
        {
                .name = "devices/int80-mount",
                .tries = "mount by the table of 32-bit programs",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = ATTEMPT_KILLED,
                .control = CONTROL_ROOT | CONTROL_VM | ATTEMPT_VM,
                .run = mount_of_i386,
        },
        {
                .name = "devices/x32",
                .tries = "make a call by the table of programs with short pointers",
                .stopped_by = "seccomp",
                .error = ATTEMPT_KILLED,
                .control = CONTROL_USER | CONTROL_VM,
                .run = call_of_x32,
        },
        {
                .name = "devices/x32-mount",
                .tries = "mount by the table of programs with short pointers",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = ATTEMPT_KILLED,
                .control = CONTROL_ROOT | CONTROL_VM,
                .run = mount_of_x32,
        },
        {.name = NULL},
};
