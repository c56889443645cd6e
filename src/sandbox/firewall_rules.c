/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "sandbox/firewall_rules.h"

#define PROGRAM "dynod-firewall"

static const FirewallPlaceholder *
find_placeholder(const FirewallPlaceholder *values, const char *name, size_t len) {
        for (; values->name; values++)
                if (strlen(values->name) == len && memcmp(values->name, name, len) == 0)
                        return values;
        return NULL;
}

int firewall_rules_render(
        const char *template, const FirewallPlaceholder *values, void *userdata, FILE *out) {
        assert(template);
        assert(values);
        assert(out);

        for (;;) {
                const char *start = strstr(template, "@@"), *end;
                const FirewallPlaceholder *value;

                if (!start)
                        break;
                end = strstr(start + 2, "@@");
                if (!end)
                        return -EINVAL;

                value = find_placeholder(values, start + 2, (size_t)(end - start - 2));
                if (!value)
                        return -EINVAL;

                (void)fwrite(template, 1, (size_t)(start - template), out);
                if (value->text)
                        (void)fputs(value->text, out);
                else
                        value->write(out, userdata);
                template = end + 2;
        }

        (void)fputs(template, out);
        return ferror(out) ? -EIO : 0;
}

/* The child begins with the rules on stdin, no environment and no signal blocked. */
static int spawn(const char *path, int rules_fd, pid_t *ret) {
        char name[] = PROGRAM;
        char *const argv[] = {name, NULL};
        char *const envp[] = {NULL};
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r != 0) {
                (void)posix_spawn_file_actions_destroy(&actions);
                return -r;
        }

        (void)sigemptyset(&none);
        r = posix_spawn_file_actions_adddup2(&actions, rules_fd, STDIN_FILENO);
        if (r == 0)
                r = posix_spawnattr_setsigmask(&attr, &none);
        if (r == 0)
                r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
        if (r == 0)
                r = posix_spawn(ret, path, &actions, &attr, argv, envp);

        (void)posix_spawnattr_destroy(&attr);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

/* 0 when it has ended, or -ETIMEDOUT. */
static int wait_for(pid_t pid, uint64_t timeout_usec) {
        _cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd end = {.fd = fd, .events = POLLIN};
        uint64_t until = clock_boottime_usec() + timeout_usec, now;
        int r;

        if (fd < 0)
                return -errno;
        do {
                now = clock_boottime_usec();
                r = poll(&end, 1, now < until ? (int)((until - now) / USEC_PER_MSEC) : 0);
        } while (r < 0 && errno == EINTR);

        return r > 0 ? 0 : r < 0 ? -errno : -ETIMEDOUT;
}

int firewall_rules_load(
        const char *libexec_dir, int rules_fd, uint64_t timeout_usec, pid_t *ret_pid) {
        _cleanup_free_ char *path = NULL;
        int status = 0, r;
        pid_t pid = 0;

        assert(libexec_dir);
        assert(rules_fd > STDERR_FILENO);
        assert(ret_pid);

        *ret_pid = 0;
        if (asprintf(&path, "%s/%s", libexec_dir, PROGRAM) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (lseek(rules_fd, 0, SEEK_SET) < 0)
                return -errno;

        r = spawn(path, rules_fd, &pid);
        if (r < 0)
                return r;
        *ret_pid = pid;
        r = wait_for(pid, timeout_usec);
        if (r < 0)
                (void)kill(pid, SIGKILL); /* Safe: ours, and not waited for yet. */
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (r < 0)
                return r;

        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
