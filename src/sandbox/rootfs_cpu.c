/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What all dynos have as /sys/devices/system/cpu: copies of those files by which programs count processors
 * and learn what they share, made once. The real ones are not for dynos: who looks something up in sysfs keeps
 * whoever adds or removes a device waiting, network links included, for as long as it has no processor
 * (launcher/guards_semaphores.c); and others of its files count what all of the host does.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/rootfs.h"

#define CPU_FOLDER "/sys/devices/system/cpu"
#define TEXT_MAX 4096 /* of a file of sysfs: a page */
#define CACHES_MAX 10 /* of a processor */

/* Documentation/ABI/stable/sysfs-devices-system-cpu, testing/sysfs-devices-system-cpu */
static const char *const of_all[] = {
        "isolated", "kernel_max", "offline", "online", "possible", "present"};
static const char *const of_one[] = {"online"};
static const char *const of_topology[] = {
        "cluster_id",
        "core_cpus_list",
        "core_id",
        "core_siblings",
        "core_siblings_list",
        "die_id",
        "package_cpus_list",
        "physical_package_id",
        "thread_siblings",
        "thread_siblings_list"};
static const char *const of_cache[] = {
        "coherency_line_size",
        "id",
        "level",
        "number_of_sets",
        "shared_cpu_list",
        "shared_cpu_map",
        "size",
        "type",
        "ways_of_associativity"};

#define PATH_SIZE sizeof("cpu4294967295/topology/physical_package_id")

/* A page for each file is much where there are hundreds of processors, which hardly differ. */
static bool same_as(int dir_fd, const char *path, const char *text, ssize_t size) {
        char other[TEXT_MAX + 1];

        return read_text_at(dir_fd, path, other, sizeof(other)) == size &&
               memcmp(other, text, (size_t)size) == 0;
}

static int write_file(int dir_fd, const char *path, const char *text, ssize_t size) {
        _cleanup_close_ int fd =
                openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

        return fd < 0 ? -errno : write_all(fd, text, (size_t)size);
}

/* @path, which may not be there: no kernel has all of them. @first: the same of the first processor, or NULL. */
static int copy_file(int from_fd, int to_fd, const char *path, const char *first) {
        char text[TEXT_MAX + 1];
        ssize_t size = read_text_at(from_fd, path, text, sizeof(text));

        if (size == -ENOENT || size == -ENOTDIR)
                return 0;
        if (size < 0)
                return (int)size;
        if (first && same_as(to_fd, first, text, size))
                return linkat(to_fd, first, to_fd, path, 0) < 0 ? -errno : 0;
        return write_file(to_fd, path, text, size);
}

/* Folder @folder of processor @cpu, or itself where that is "". */
static int copy_folder(
        int from_fd,
        int to_fd,
        unsigned cpu,
        const char *folder,
        const char *const *names,
        size_t n) {
        char path[PATH_SIZE], first[PATH_SIZE];
        struct stat st;

        (void)snprintf(path, sizeof(path), "cpu%u/%s", cpu, folder);
        if (fstatat(from_fd, path, &st, 0) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (mkdirat(to_fd, path, 0755) < 0)
                return -errno;
        for (size_t i = 0; i < n; i++) {
                int r;

                (void)snprintf(path, sizeof(path), "cpu%u/%s/%s", cpu, folder, names[i]);
                (void)snprintf(first, sizeof(first), "cpu0/%s/%s", folder, names[i]);
                r = copy_file(from_fd, to_fd, path, cpu > 0 ? first : NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int copy_cpu(int from_fd, int to_fd, unsigned cpu) {
        char cache[sizeof("cache/index0")];
        int r;

        r = copy_folder(from_fd, to_fd, cpu, "", of_one, ARRAY_SIZE(of_one));
        if (r == 0)
                r = copy_folder(
                        from_fd, to_fd, cpu, "topology", of_topology, ARRAY_SIZE(of_topology));
        if (r == 0)
                r = copy_folder(from_fd, to_fd, cpu, "cache", NULL, 0);
        for (unsigned i = 0; r == 0 && i < CACHES_MAX; i++) {
                (void)snprintf(cache, sizeof(cache), "cache/index%u", i);
                r = copy_folder(from_fd, to_fd, cpu, cache, of_cache, ARRAY_SIZE(of_cache));
        }
        return r;
}

int rootfs_make_cpus(int dir_fd) {
        _cleanup_close_ int from_fd = -EBADF;
        _cleanup_closedir_ DIR *dir = NULL;
        unsigned cpu = 0;
        int r;

        from_fd = open(CPU_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (from_fd < 0)
                return -errno;
        r = dir_open_at(from_fd, ".", &dir);
        for (size_t i = 0; r == 0 && i < ARRAY_SIZE(of_all); i++)
                r = copy_file(from_fd, dir_fd, of_all[i], NULL);
        while (r == 0) {
                r = copy_cpu(from_fd, dir_fd, cpu);
                if (r == 0 && !dir_next_number(dir, "cpu", NULL, &cpu))
                        break;
        }
        return r;
}
