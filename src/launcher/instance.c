/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/parse.h"
#include "launcher/instance.h"

/* Outside of any instance's own folder, so that all of them find it. */
#define INSTANCES_DIR "/run/dynod.instances"

/*
 * A dynod that was killed in the middle of a start has a child with a copy of its lock,
 * until that child notices, milliseconds later.
 */
#define LOCK_TRIES 25
#define LOCK_PAUSE_NSEC 20000000 /* ns: half a second, all together */

static int open_dir(const char *path, mode_t mode) {
        int fd;

        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        /* Safe: the folder is root's own, made by us or by the package. */
        if (fchmod(fd, mode) < 0) {
                (void)safe_close(fd);
                return -errno;
        }
        return fd;
}

static int lock_file(int dir_fd, const char *name, int *ret_fd) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
                const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NSEC};

                if (errno != EWOULDBLOCK)
                        return -errno;
                if (i == LOCK_TRIES)
                        return -EBUSY;
                (void)nanosleep(&pause, NULL);
        }

        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* What a notice says, and what we compare with it. */
typedef struct Claim {
        uint32_t uid_base;
        struct in_addr network;
        unsigned prefix;
        char run_dir[256];
} Claim;

static int read_claim(int dir_fd, const char *name, Claim *ret) {
        char text[512], network[INET_ADDRSTRLEN];
        ssize_t n = read_text_at(dir_fd, name, text, sizeof(text));

        if (n < 0)
                return (int)n;
        /* NOLINTNEXTLINE(cert-err34-c): root wrote it; a number out of range only warns too much */
        if (sscanf(text,
                   "%" SCNu32 " %15[0-9.]/%u %255s",
                   &ret->uid_base,
                   network,
                   &ret->prefix,
                   ret->run_dir) != 4 ||
            parse_ipv4(network, &ret->network) < 0 || ret->prefix > 32)
                return -EINVAL;

        return 0;
}

static bool
networks_overlap(struct in_addr a, unsigned a_prefix, struct in_addr b, unsigned b_prefix) {
        unsigned prefix = a_prefix < b_prefix ? a_prefix : b_prefix;
        uint32_t mask = prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);

        return ((ntohl(a.s_addr) ^ ntohl(b.s_addr)) & mask) == 0;
}

static bool uids_overlap(uint32_t a, uint32_t b) {
        return a < b ? b - a < CONFIG_UIDS : a - b < CONFIG_UIDS;
}

/* An instance that is gone, together with its dynos, claims nothing any more. */
static bool is_alive(int dir_fd, const char *name, const Claim *claim) {
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        _cleanup_free_ char *dynos = NULL;
        struct stat st;

        if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
                return true;
        if (asprintf(&dynos, "%s/dynos", claim->run_dir) < 0) {
                dynos = NULL;
                return true;
        }
        return stat(dynos, &st) == 0 && st.st_nlink > 2; /* dynos are kept running */
}

static int
check_neighbour(int dir_fd, const char *name, const Config *config, ConfigError *reterr) {
        Claim claim;
        const char *what;

        if (read_claim(dir_fd, name, &claim) < 0 || !is_alive(dir_fd, name, &claim))
                return 0;

        if (uids_overlap(claim.uid_base, config->uid_base))
                what = "uid_base";
        else if (networks_overlap(
                         claim.network, claim.prefix, config->network, config->network_prefix))
                what = "network";
        else
                return 0;

        (void)snprintf(
                reterr->text,
                sizeof(reterr->text),
                "%s overlaps that of instance %s, which is in use. Choose another range.",
                what,
                name);
        return -EADDRINUSE;
}

static int claim_ranges(int dir_fd, const Config *config, int *ret_fd, ConfigError *reterr) {
        char text[512], network[INET_ADDRSTRLEN];
        _cleanup_closedir_ DIR *dir = NULL;
        _cleanup_close_ int lock_fd = -EBADF;
        struct dirent *entry;
        int n, r;

        lock_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0) /* one start at a time */
                return -errno;

        dir = fdopendir(fcntl(lock_fd, F_DUPFD_CLOEXEC, 3));
        if (!dir)
                return -errno;
        while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || strcmp(entry->d_name, config->instance) == 0)
                        continue;
                r = check_neighbour(dir_fd, entry->d_name, config, reterr);
                if (r < 0)
                        return r;
        }

        r = lock_file(dir_fd, config->instance, ret_fd);
        if (r < 0)
                return r;
        (void)inet_ntop(AF_INET, &config->network, network, sizeof(network));
        n = snprintf(
                text,
                sizeof(text),
                "%" PRIu32 " %s/%u %s\n",
                config->uid_base,
                network,
                config->network_prefix,
                config->run_dir);
        if (ftruncate(*ret_fd, 0) < 0)
                return -errno;
        return write_all(*ret_fd, text, (size_t)n);
}

int instance_open(Instance *ret, const Config *config, ConfigError *reterr) {
        _cleanup_close_ int instances_fd = -EBADF;
        Instance instance = INSTANCE_INIT;
        int r;

        *reterr = (ConfigError){0};
        r = instance.state_dir_fd = open_dir(config->state_dir, 0700);
        if (r < 0)
                goto fail;
        r = lock_file(instance.state_dir_fd, "lock", &instance.lock_fd);
        if (r == -EBUSY)
                (void)snprintf(
                        reterr->text,
                        sizeof(reterr->text),
                        "Another dynod is running on %s.",
                        config->state_dir);
        if (r < 0)
                goto fail;

        r = instance.run_dir_fd = open_dir(config->run_dir, 0755);
        if (r < 0)
                goto fail;
        /* 0700: whoever may open it can lock it, and every start waits for that lock. */
        r = instances_fd = open_dir(INSTANCES_DIR, 0700);
        if (r < 0)
                goto fail;
        r = claim_ranges(instances_fd, config, &instance.notice_fd, reterr);
        if (r == -EBUSY)
                (void)snprintf(
                        reterr->text,
                        sizeof(reterr->text),
                        "Another dynod is running as instance %s.",
                        config->instance);
        if (r < 0)
                goto fail;

        *ret = instance;
        return 0;

fail:
        instance_close(&instance);
        return r;
}

void instance_close(Instance *instance) {
        instance->notice_fd = safe_close(instance->notice_fd);
        instance->lock_fd = safe_close(instance->lock_fd);
        instance->run_dir_fd = safe_close(instance->run_dir_fd);
        instance->state_dir_fd = safe_close(instance->state_dir_fd);
}

static void remove_files_of(const char *path) {
        _cleanup_closedir_ DIR *dir = opendir(path);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
                        (void)unlinkat(dirfd(dir), entry->d_name, 0);
        (void)rmdir(path);
}

void instance_remove(const Config *config) {
        static const char *const folders[] = {"supervisor", "dynos", "policies", NULL};
        char path[256];

        for (size_t i = 0; folders[i]; i++) {
                (void)snprintf(path, sizeof(path), "%s/%s", config->run_dir, folders[i]);
                remove_files_of(path);
        }
        /* Where the sandbox has its templates mounted, in this mount namespace alone. */
        (void)snprintf(path, sizeof(path), "%s/.sandbox", config->run_dir);
        (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
        (void)rmdir(path);
        remove_files_of(config->run_dir);
        (void)snprintf(path, sizeof(path), INSTANCES_DIR "/%s", config->instance);
        (void)unlink(path);
        (void)rmdir(INSTANCES_DIR); /* the last one turns off the light */
}
