/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The host's network changes, and what others take away of ours is put back: at the pace
 * of repair.h.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/parse.h"
#include "launcher/dynos.h"
#include "launcher/policies.h"
#include "launcher/slots.h"

int network_start(Launcher *launcher) {
        _cleanup_free_ NetKeep *keep = NULL;
        size_t n;
        int r;

        keep = calloc(dynos_count(launcher) + slots_ready(launcher->slots) + 1, sizeof(*keep));
        if (!keep)
                return -ENOMEM;
        n = dynos_list_links(launcher, keep);
        n += slots_list_links(launcher->slots, keep + n);

        r = net_start(launcher->net, keep, n);
        if (r == NET_E_MISSING) {
                log_warning("The link of a running dyno cannot be made whole; see ps:inspect.");
                r = 0;
        }
        return r == NET_E_FIREWALL ? -EIO : r;
}

/* Puts back what net_damage() is about. */
static void restore(Launcher *launcher) {
        NetRepair *repair = &launcher->repair;
        uint64_t begin = clock_boottime_usec();
        char damage[NET_DETAIL_SIZE];
        int r;

        /* A copy: it is forgotten when it is made good. */
        (void)snprintf(damage, sizeof(damage), "%s", net_damage(launcher->net));
        source_set_time(repair->timer, USEC_INFINITY);
        repair->waiting = false;

        r = network_start(launcher);
        repair_note(&repair->pace, begin, clock_boottime_usec());
        policies_say_news(launcher);
        if (r < 0)
                (void)log_error_errno(r, "network: %s; it cannot be restored yet: %m", damage);
        else
                log_warning("network: %s; restored.", damage);
}

static int on_timer(void *userdata, uint32_t events) {
        Launcher *launcher = userdata;

        launcher->repair.waiting = false;
        network_look(launcher);
        return 0;
}

void network_look(Launcher *launcher) {
        NetRepair *repair = &launcher->repair;
        uint64_t now = clock_boottime_usec(), due;
        int r;

        r = net_handle_watch(launcher->net);
        if (r < 0)
                (void)log_warning_errno(r, "Cannot follow a change of the host's network: %m");
        policies_say_news(launcher);
        if (!net_damage(launcher->net) || repair->waiting)
                return;

        due = repair_due(&repair->pace);
        if (due <= now) {
                restore(launcher);
                return;
        }
        log_warning(
                "network: %s, again; it is restored in %.0f s, so that nobody keeps dynod busy.",
                net_damage(launcher->net),
                (double)(due - now) / (double)USEC_PER_SEC);
        repair->waiting = true;
        source_set_time(repair->timer, due);
}

void network_make_whole(Launcher *launcher) {
        network_look(launcher);
        if (net_damage(launcher->net))
                restore(launcher);
}

static int on_change(void *userdata, uint32_t events) {
        network_look(userdata);
        return 0;
}

int network_watch(Launcher *launcher) {
        int r;

        r = loop_add_timer(
                launcher->loop, &launcher->repair.timer, USEC_INFINITY, on_timer, launcher);
        if (r < 0)
                return r;
        return loop_add(
                launcher->loop,
                &launcher->repair.source,
                net_watch_fd(launcher->net),
                EPOLLIN,
                on_change,
                launcher);
}

void network_unwatch(Launcher *launcher) {
        launcher->repair.source = source_free(launcher->repair.source);
        launcher->repair.timer = source_free(launcher->repair.timer);
}
