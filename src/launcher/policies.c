/* SPDX-License-Identifier: Apache-2.0 */

#include "launcher/policies.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "launcher/dynos_internal.h"
#include "sandbox/net_policy.h"

/* The 1,000 apps that an instance may have, and those that are being destroyed. */
#define POLICIES_MAX 1100

#define FILE_MAGIC UINT32_C(0x64796e70) /* "dynp" */
#define FILE_VERSION 1U
#define FILE_NAME_SIZE 16 /* a number and a dot */

/* Root's own file, but a disk may be full and a version older: it is checked like a message. */
typedef struct PolicyFile {
        uint32_t magic, version;
        LaunchPolicy policy;
} PolicyFile;

int policies_open(Launcher *launcher) {
        int fd;

        if (mkdirat(launcher->instance.run_dir_fd, "policies", 0700) < 0 && errno != EEXIST)
                return -errno;
        fd =
                openat(launcher->instance.run_dir_fd,
                       "policies",
                       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        launcher->policies_dir_fd = fd;
        return 0;
}

static void file_name(uint32_t app_number, char ret[FILE_NAME_SIZE]) {
        (void)snprintf(ret, FILE_NAME_SIZE, "%" PRIu32, app_number);
}

static int store(const Launcher *launcher, const LaunchPolicy *policy) {
        PolicyFile file = {.magic = FILE_MAGIC, .version = FILE_VERSION, .policy = *policy};
        char name[FILE_NAME_SIZE];

        file_name(policy->app_number, name);
        if (policy->serial == 0)
                return unlinkat(launcher->policies_dir_fd, name, 0) < 0 && errno != ENOENT ? -errno
                                                                                           : 0;
        file.policy.header = (LaunchHeader){.type = LAUNCH_POLICY};
        return file_replace_at(
                launcher->policies_dir_fd, name, &file, sizeof(file), 0600, FILE_SYNC_NONE);
}

static int load(const Launcher *launcher, uint32_t app_number, LaunchPolicy *ret) {
        _cleanup_close_ int fd = -EBADF;
        LaunchMessage msg = {0};
        char name[FILE_NAME_SIZE];
        PolicyFile file;
        ssize_t n;

        file_name(app_number, name);
        fd = openat(launcher->policies_dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = read(fd, &file, sizeof(file));
        if (n < 0)
                return -errno;
        if ((size_t)n != sizeof(file) || file.magic != FILE_MAGIC || file.version != FILE_VERSION)
                return -EBADMSG;
        msg.policy = file.policy;
        if (launch_message_check(&msg, sizeof(msg.policy), 0, LAUNCH_FROM_SUPERVISOR) < 0 ||
            msg.policy.header.type != LAUNCH_POLICY || msg.policy.app_number != app_number ||
            msg.policy.serial == 0)
                return -EBADMSG;

        *ret = msg.policy;
        return 0;
}

/* Reaches nothing, until the supervisor says what it may. No START names this serial. */
static int restore_closed(Launcher *launcher, uint32_t app_number) {
        const LaunchPolicy closed = {
                .header = {.type = LAUNCH_POLICY},
                .serial = UINT64_MAX,
                .app_number = app_number,
                .egress_closed = 1,
        };

        return net_policy_restore(launcher->net, &closed);
}

static int restore_one(Launcher *launcher, uint32_t app_number) {
        LaunchPolicy policy;
        int r;

        r = load(launcher, app_number, &policy);
        if (r == 0)
                return net_policy_restore(launcher->net, &policy);

        (void)log_error_errno(
                r, "The network policy of app number %" PRIu32 " is lost: %m", app_number);
        return restore_closed(launcher, app_number);
}

static int close_lost(Launcher *launcher) {
        for (const Dyno *dyno = launcher->dynos; dyno; dyno = dyno->next) {
                const LaunchStart *start = &dyno->facts.start;
                int r;

                if (start->policy == 0 || net_policy_find(launcher->net, start->app_number))
                        continue;
                log_error("%s: the network policy of app %s is lost.", start->id, start->app);
                r = restore_closed(launcher, start->app_number);
                if (r < 0)
                        return r;
        }
        return 0;
}

int policies_restore(Launcher *launcher) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(launcher->policies_dir_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);
        while ((entry = readdir(dir))) {
                uint32_t app_number;

                if (parse_u32(entry->d_name, &app_number) < 0)
                        continue;
                r = restore_one(launcher, app_number);
                if (r < 0)
                        return r;
        }

        return close_lost(launcher);
}

/*
 * The file first: should dynod die between the two, the next one starts with the newer
 * policy and goes back to none that was already replaced.
 */
int policies_set(Launcher *launcher, const LaunchPolicy *policy, uint16_t *ret_taken) {
        const LaunchPolicy *found = net_policy_find(launcher->net, policy->app_number);
        LaunchPolicy before = {.app_number = policy->app_number}, kept = *policy;
        int r;

        if (found && net_policy_equal(found, policy))
                return 0;
        if (!found && policy->serial != 0 && net_policy_count(launcher->net) >= POLICIES_MAX)
                return -ENOSPC;
        if (found)
                before = *found;

        /* What is changed must be there: somebody may just have flushed the table. */
        network_make_whole(launcher);
        r = net_policy_check(launcher->net, policy, ret_taken);
        if (r < 0)
                return r;
        kept.asked = 0;
        r = store(launcher, &kept);
        if (r < 0)
                return r;
        r = net_policy_set(launcher->net, &kept);
        if (r != 0) {
                int undone = store(launcher, &before);

                if (undone < 0)
                        (void)log_error_errno(
                                undone, "A network policy is on disk that is not in force: %m");
                log_error(
                        "The network policy of app number %" PRIu32 " was refused.",
                        policy->app_number);
        }
        return r > 0 ? -EIO : r;
}

void policies_say_source(Launcher *launcher, uint32_t app_number) {
        const LaunchSource source = {
                .header = {.type = LAUNCH_SOURCE},
                .app_number = app_number,
                .gone = net_policy_source_is_gone(launcher->net, app_number),
        };

        link_send(launcher, &source, sizeof(source), NULL, 0);
}

void policies_say_news(Launcher *launcher) {
        uint32_t app_number;

        while (net_policy_source_news(launcher->net, &app_number))
                policies_say_source(launcher, app_number);
}

int policies_check_start(const Launcher *launcher, const LaunchStart *start, SandboxError *reterr) {
        const LaunchPolicy *policy = net_policy_find(launcher->net, start->app_number);
        uint64_t in_force = policy ? policy->serial : 0;

        if (start->policy == in_force)
                return 0;

        *reterr = (SandboxError){.layer = LAYER_NETWORK, .error = ESTALE};
        (void)snprintf(
                reterr->detail,
                sizeof(reterr->detail),
                "network policy %" PRIu64 " of the app is in force, the start wants %" PRIu64,
                in_force,
                start->policy);
        return -ESTALE;
}
