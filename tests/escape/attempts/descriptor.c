/* SPDX-License-Identifier: Apache-2.0 */

/* Descriptors and folders that lead out of the root: leaked, kept, or walked upwards. */

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "escape.h"

#define FDS_MAX 1024
#define DEVICES_MAX 512 /* minor numbers that are tried; a host's first mounts have the lowest */
#define JAIL "/tmp/jail"

/* True if nothing can be had by it: null, a pipe, FIFO, terminal, or a socket pair's end. */
static bool is_harmless(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return true;
        if (S_ISFIFO(st.st_mode))
                return true;
        if (!S_ISCHR(st.st_mode))
                return false;
        return st.st_rdev == makedev(1, 3) ||
               (major(st.st_rdev) >= 136 && major(st.st_rdev) <= 143);
}

static int leaked(void) {
        for (int fd = 0; fd < FDS_MAX; fd++)
                if (!is_harmless(fd))
                        return 0;
        return ATTEMPT_NOTHING;
}

/* Without close-on-exec, as a careless launcher would. */
static int leak(void) {
        return open("/etc", O_RDONLY | O_DIRECTORY) < 0 ? -errno : 0;
}

/* What leads on: dyno-init has none, and dynod many. */
static int leaked_folder(void) {
        struct stat st;

        for (int fd = 0; fd < FDS_MAX; fd++)
                if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                        return 0;
        return ATTEMPT_NOTHING;
}

/* CVE-2024-21626: a working folder outside of the root, by /proc/self/fd. */
static int working_folder(void) {
        char cwd[4096];
        int r = ATTEMPT_NOTHING;

        if (syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0 && cwd[0] != '/')
                return 0;
        for (int fd = 0; fd < FDS_MAX; fd++)
                if (fchdir(fd) == 0 && syscall(SYS_getcwd, cwd, sizeof(cwd)) > 0 && cwd[0] != '/')
                        r = 0;
        return r;
}

static int working_folder_set_up(void) {
        int fd = open("/", O_RDONLY | O_DIRECTORY);

        if (fd < 0 || mkdir(JAIL, 0755) < 0 || chroot(JAIL) < 0 || chdir("/") < 0)
                return -errno;
        return 0;
}

/* ".." from every folder at hand ends at the root of all names. */
static bool leads_out(const char *path) {
        struct stat root, top;
        int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), up;
        bool out = false;

        if (fd < 0 || stat("/", &root) < 0)
                return false;
        for (int i = 0; i < 64; i++) {
                up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (up < 0)
                        break;
                (void)close(fd);
                fd = up;
        }
        if (fstat(fd, &top) == 0)
                out = top.st_ino != root.st_ino || top.st_dev != root.st_dev;
        (void)close(fd);
        return out;
}

static int upwards(void) {
        static const char *const paths[] = {
                ".",
                "/",
                "/proc/self/root",
                "/proc/self/cwd",
                "/proc/thread-self/root",
                "/proc/thread-self/cwd",
                "/proc/1/root",
                "/proc/self/task/../../1/cwd",
                "/dev/fd/../root",
                "/tmp",
                "/var/tmp",
                "/app",
                "/dev/pts",
                "/dev/shm",
                "/sys/fs/cgroup",
        };

        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                if (leads_out(paths[i]))
                        return 0;
        return ATTEMPT_NOTHING;
}

/* The working folder stays outside: what chroot(2) leaves to its caller. */
static int upwards_set_up(void) {
        if (mkdir(JAIL, 0755) < 0 || chroot(JAIL) < 0)
                return -errno;
        return 0;
}

static int double_chroot(void) {
        if (mkdir("/tmp/inner", 0755) < 0 && errno != EEXIST)
                return ATTEMPT_BROKEN;
        if (chroot("/tmp/inner") < 0)
                return -errno;
        return leads_out(".") ? 0 : ATTEMPT_NOTHING;
}

static int double_chroot_set_up(void) {
        if (mkdir(JAIL, 0755) < 0 || mkdir(JAIL "/tmp", 0755) < 0 || chroot(JAIL) < 0 ||
            chdir("/") < 0)
                return -errno;
        return 0;
}

/* Read-only files of the stack, shared with other dynos. */
static int stack_file(void) {
        return attempt_open("/etc/debian_version", O_RDWR);
}

static int stack_folder(void) {
        int r = attempt_result(mkdir("/etc/escape", 0755));

        (void)rmdir("/etc/escape");
        return r;
}

/* Through a mapping that only this process should see: /proc/self/mem writes to it all the same. */
static int stack_page(void) {
        const char *path = escape_is_control ? "/tmp/page" : "/etc/passwd";
        int flags = escape_is_control ? O_RDWR : O_RDONLY;
        int fd = open(path, flags | O_CLOEXEC), mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
        char before = 0, after = 0;
        char *page;

        if (fd < 0 || mem < 0 || pread(fd, &before, 1, 0) != 1)
                return ATTEMPT_BROKEN;
        page =
                mmap(NULL,
                     4096,
                     escape_is_control ? PROT_READ | PROT_WRITE : PROT_READ,
                     escape_is_control ? MAP_SHARED : MAP_PRIVATE,
                     fd,
                     0);
        if (page == MAP_FAILED || pwrite(mem, "!", 1, (off_t)(uintptr_t)page) != 1)
                return -errno;
        if (pread(fd, &after, 1, 0) != 1)
                return ATTEMPT_BROKEN;
        return before == after ? ATTEMPT_NOTHING : 0;
}

static int stack_page_set_up(void) {
        int fd = open("/tmp/page", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

        if (fd < 0 || write(fd, "page", 4) != 4)
                return -errno;
        return close(fd) < 0 ? -errno : 0;
}

/* How full every file system of the host is, by the number of its device. */
static int file_systems_by_number(void) {
#ifdef SYS_ustat
        static const unsigned majors[] = {0, 7, 8, 252, 253, 254, 259};
        char buf[64];
        int r = -ENOSYS;

        for (size_t i = 0; i < sizeof(majors) / sizeof(majors[0]); i++)
                for (unsigned n = 0; n < DEVICES_MAX; n++) {
                        if (syscall(SYS_ustat, makedev(majors[i], n), buf) == 0)
                                return 0;
                        r = -errno;
                }
        return r;
#else
        return -ENOSYS;
#endif
}

/* Of the file system that the stack is on: the store's, or the host's root. */
static int sync_of_the_host(void) {
        int fd = open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? ATTEMPT_BROKEN : attempt_result(syncfs(fd));
}

/* A whiteout: hides a file of the lower layer, or the device 0:0. */
static int whiteout(void) {
        const char *path = escape_is_control ? "/tmp/whiteout" : "/app/whiteout";

        return attempt_result(mknod(path, S_IFCHR | 0600, makedev(0, 0)));
}

/* In /tmp anybody may make one: it is no device. Moved into /app it would hide a file. */
static int whiteout_by_rename(void) {
        const char *path = escape_is_control ? "/tmp/hidden" : "/app/hidden";
        int r;

        if (mknod("/tmp/whiteout", S_IFCHR | 0600, makedev(0, 0)) < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(rename("/tmp/whiteout", path));
        (void)unlink("/tmp/whiteout");
        return r;
}

#define WALK(name_, tries_, stopped_by_, run_, set_up_)                                            \
        {                                                                                          \
                .name = "descriptor/" name_, .tries = tries_, .stopped_by = stopped_by_,           \
                .error = ATTEMPT_NOTHING, .control = CONTROL_ROOT, .run = run_, .set_up = set_up_, \
        }

const Attempt attempts_descriptor[] = {
        WALK("leaked", "find a descriptor that dynod left open", "descriptors", leaked, leak),
        WALK("leaked-folder",
             "find a folder that dynod left open",
             "descriptors",
             leaked_folder,
             leak),
        WALK("working-folder",
             "find a working folder outside of its root",
             "descriptors root",
             working_folder,
             working_folder_set_up),
        WALK("upwards",
             "walk above its root from any folder",
             "root old-root",
             upwards,
             upwards_set_up),
        {
                .name = "descriptor/double-chroot",
                .tries = "leave its root by a second chroot",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = double_chroot,
                .set_up = double_chroot_set_up,
        },
        {
                .name = "descriptor/stack-file",
                .tries = "change a file that all dynos of the stack read",
                .stopped_by = "readonly user",
                .error = EROFS,
                .control = CONTROL_ROOT,
                .run = stack_file,
        },
        {
                .name = "descriptor/stack-folder",
                .tries = "add a file to the stack",
                .stopped_by = "readonly user",
                .error = EROFS,
                .control = CONTROL_ROOT,
                .run = stack_folder,
        },
        {
                .name = "descriptor/stack-page",
                .tries = "change a page of a file that all dynos of the stack read",
                .stopped_by = "kernel",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = stack_page,
                .set_up = stack_page_set_up,
        },
        {
                .name = "descriptor/file-systems-by-number",
                .tries = "learn how full the host's and other dynos' file systems are",
                .stopped_by = "seccomp",
                .error = ENOSYS,
                .control = CONTROL_USER,
                .run = file_systems_by_number,
        },
        {
                .name = "descriptor/sync-of-the-host",
                .tries = "keep the host's disk busy with everybody's writes",
                .stopped_by = "seccomp",
                .error = ENOSYS,
                .control = CONTROL_USER,
                .run = sync_of_the_host,
        },
        {
                .name = "descriptor/whiteout",
                .tries = "make the device that overlayfs takes for a removed file",
                .stopped_by = "kernel",
                .error = EPERM,
                .control = CONTROL_USER,
                .run = whiteout,
        },
        {
                .name = "descriptor/whiteout-by-rename",
                .tries = "move such a device from /tmp to where overlayfs finds it",
                .stopped_by = "kernel",
                .error = EXDEV,
                .control = CONTROL_USER,
                .run = whiteout_by_rename,
        },
        {.name = NULL},
};
