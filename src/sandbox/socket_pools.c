/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "sandbox/socket_pools.h"

/* Bytes: a closed connection has more of them in its cgroup; a quarter is what TCP counts
 * those for that nobody answers (tcp_out_of_resources()). */
#define ORPHAN_BYTES 512

#define TEXT_SIZE 128 /* bytes; three numbers */

/* Exactly @n numbers. */
static int parse_values(char *text, uint64_t *ret, unsigned n) {
        char *save = NULL, *word = strtok_r(text, " \t\n", &save);

        for (unsigned i = 0; i < n; i++) {
                if (!word || parse_u64(word, &ret[i]) < 0)
                        return -EBADMSG;
                word = strtok_r(NULL, " \t\n", &save);
        }
        return word ? -EBADMSG : 0;
}

/*
 * Raises what is below @limit of the @n numbers in a file, but the first of three: below that
 * there is never any pressure, and it does no harm.
 *
 * Safe: memory of the host, which the cgroup of each dyno bounds.
 */
static int raise_limits(const char *path, unsigned n, uint64_t limit) {
        char text[TEXT_SIZE];
        uint64_t values[3] = {0};
        bool raised = false;
        int r;

        r = (int)read_text_at(AT_FDCWD, path, text, sizeof(text));
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        r = parse_values(text, values, n);
        if (r < 0)
                return r;

        for (unsigned i = n == 3; i < n; i++)
                if (values[i] < limit) {
                        values[i] = limit;
                        raised = true;
                }
        if (!raised)
                return 0;
        if (n == 3)
                (void)snprintf(
                        text,
                        sizeof(text),
                        "%" PRIu64 " %" PRIu64 " %" PRIu64,
                        values[0],
                        values[1],
                        values[2]);
        else
                (void)snprintf(text, sizeof(text), "%" PRIu64, values[0]);
        r = write_text_at(AT_FDCWD, path, text);
        return r < 0 ? r : 1;
}

int socket_pools_raise(void) {
        struct sysinfo info;
        uint64_t bytes, orphans;
        int udp, tcp, r;

        if (sysinfo(&info) < 0)
                return -errno;
        bytes = (uint64_t)info.totalram * info.mem_unit;
        orphans = bytes / ORPHAN_BYTES < INT_MAX ? bytes / ORPHAN_BYTES : INT_MAX;

        udp = raise_limits(
                "/proc/sys/net/ipv4/udp_mem", 3, bytes / (uint64_t)sysconf(_SC_PAGESIZE));
        tcp = raise_limits(
                "/proc/sys/net/ipv4/tcp_mem", 3, bytes / (uint64_t)sysconf(_SC_PAGESIZE));
        r = raise_limits("/proc/sys/net/ipv4/tcp_max_orphans", 1, orphans);
        if (udp < 0 || tcp < 0 || r < 0)
                return udp < 0 ? udp : tcp < 0 ? tcp : r;
        return udp || tcp || r;
}

int socket_pages_shrink(void) {
        static const char path[] = "/proc/sys/net/core/high_order_alloc_disable";
        char text[TEXT_SIZE];
        int r = (int)read_text_at(AT_FDCWD, path, text, sizeof(text));

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (text[0] != '0')
                return 0;
        /* Safe: how the kernel gets pages for sockets, and nothing that anybody can see. */
        r = write_text_at(AT_FDCWD, path, "1");
        return r < 0 ? r : 1;
}
