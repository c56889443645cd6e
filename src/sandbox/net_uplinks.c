/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Uplinks: the links of others by which dynos' packets leave.
 *
 * The kernel forwards what comes in by a link only if that link's switch is on, answers
 * included. Where it was off, the table's set of uplinks restricts what we turned on.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/names.h"
#include "sandbox/net_internal.h"

/* One name per line, in run_dir: not in the table alone, which others may flush. */
#define UPLINKS_FILE "uplinks"
#define UPLINKS_TEXT_SIZE (NET_UPLINKS_MAX * (IFNAMSIZ + 1) + 1)

int net_recall_uplinks(Net *net) {
        char text[UPLINKS_TEXT_SIZE], *rest = text;
        _cleanup_close_ int dir_fd = -EBADF;
        ssize_t n;

        dir_fd = open(net->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        n = read_text_at(dir_fd, UPLINKS_FILE, text, sizeof(text));
        if (n < 0)
                return n == -ENOENT ? 0 : (int)n;

        net->own_uplinks.n = 0;
        for (char *line = strsep(&rest, "\n"); line && net->own_uplinks.n < NET_UPLINKS_MAX;
             line = strsep(&rest, "\n"))
                if (line[0] != '\0' && strlen(line) < IFNAMSIZ)
                        field_set(net->own_uplinks.name[net->own_uplinks.n++], IFNAMSIZ, line);
        return 0;
}

/* Before forwarding is turned on: what is not written down stays on for ever. */
static int write_down_uplinks(const Net *net) {
        char text[UPLINKS_TEXT_SIZE] = "";
        _cleanup_close_ int dir_fd = -EBADF;
        size_t used = 0;

        for (size_t i = 0; i < net->own_uplinks.n; i++)
                used += (size_t)snprintf(
                        text + used, sizeof(text) - used, "%s\n", net->own_uplinks.name[i]);

        dir_fd = open(net->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        return file_replace_at(dir_fd, UPLINKS_FILE, text, used, 0600, FILE_SYNC_NONE);
}

/*
 * Instances share an uplink that one of them turned on: each lists it, and the last one
 * turns it off.
 */
static bool is_own_uplink(Net *net, const char *link) {
        FirewallKey key = firewall_key_uplink(link);

        return net_uplinks_contain(&net->own_uplinks, link) ||
               firewall_others_have(net->firewall, FIREWALL_SET_UPLINKS, &key);
}

int net_find_uplinks(Net *net) {
        NetUplinks all, own = {.n = 0};
        bool host_forwards;
        int r;

        r = net_host_uplinks(net->host, net->instance, &all);
        if (r < 0)
                return r;
        r = net_host_forwarding("all", &host_forwards);
        if (r < 0)
                return r;

        for (size_t i = 0; i < all.n && !host_forwards; i++) {
                bool on;

                /* A link that vanished meanwhile is no uplink. */
                if (net_host_forwarding(all.name[i], &on) < 0)
                        continue;
                if (!on || is_own_uplink(net, all.name[i]))
                        memcpy(own.name[own.n++], all.name[i], IFNAMSIZ);
        }

        net->own_uplinks = own;
        return 0;
}

int net_enable_uplinks(Net *net) {
        int written = write_down_uplinks(net);

        if (written < 0)
                return written;
        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                int r = net_host_set_forwarding(net->own_uplinks.name[i], true);

                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int net_refresh(Net *net) {
        NetUplinks before;
        int r;

        assert(net);

        r = net_find_overlaps(net);
        if (r < 0)
                return r;
        r = net_refresh_policies(net);
        if (r >= 0)
                r = net_refresh_services(net);
        if (r < 0)
                return r;
        before = net->own_uplinks;
        r = net_find_uplinks(net);
        if (r < 0)
                return r;

        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                FirewallKey key = firewall_key_uplink(net->own_uplinks.name[i]);

                r = firewall_add(net->firewall, FIREWALL_SET_UPLINKS, &key);
                if (r < 0)
                        return r;
        }
        /* Somebody made the host a router: then it is not for us to restrict. */
        for (size_t i = 0; i < before.n; i++) {
                FirewallKey key = firewall_key_uplink(before.name[i]);

                if (net_uplinks_contain(&net->own_uplinks, before.name[i]))
                        continue;
                r = firewall_remove(net->firewall, FIREWALL_SET_UPLINKS, &key);
                if (r < 0)
                        return r;
        }

        return net_enable_uplinks(net);
}

int net_disable_uplinks(Net *net) {
        int r;

        r = net_find_uplinks(net);
        if (r < 0)
                return r;

        for (size_t i = 0; i < net->own_uplinks.n; i++) {
                const char *link = net->own_uplinks.name[i];
                FirewallKey key = firewall_key_uplink(link);

                if (firewall_others_have(net->firewall, FIREWALL_SET_UPLINKS, &key))
                        continue;
                r = net_host_set_forwarding(link, false);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        net->own_uplinks.n = 0;
        return 0;
}
