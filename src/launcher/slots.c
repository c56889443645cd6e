/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/parse.h"
#include "launcher/slots.h"

/* After a failure: no attempt for this long, so that a broken host is not hammered. */
#define REFILL_PAUSE_USEC (5 * USEC_PER_SEC)

struct Slots {
        uint32_t room, max; /* beyond @max there are only adopted ones, of a larger max_dynos */
        uint32_t n_used;
        uint32_t next;      /* where to look for a free number */
        bool *used;         /* by number: ready or in use */
        SandboxSlot *ready; /* config->pool of them at most */
        uint32_t n_ready;
        uint64_t pause_until; /* CLOCK_BOOTTIME */
};

int slots_new(Slots **ret, uint32_t room, uint32_t max) {
        _cleanup_(slots_freep) Slots *slots = calloc(1, sizeof(*slots));

        if (!slots)
                return -ENOMEM;
        slots->used = calloc(room, sizeof(*slots->used));
        slots->ready = calloc(max, sizeof(*slots->ready));
        if (!slots->used || !slots->ready)
                return -ENOMEM;
        slots->room = room;
        slots->max = max;

        *ret = TAKE_PTR(slots);
        return 0;
}

Slots *slots_free(Slots *slots) {
        if (!slots)
                return NULL;

        for (uint32_t i = 0; i < slots->n_ready; i++)
                sandbox_slot_release(&slots->ready[i]);
        free(slots->used);
        free(slots->ready);
        free(slots);
        return NULL;
}

int slots_mark_used(Slots *slots, uint32_t index) {
        if (index >= slots->room)
                return -ERANGE;
        slots->n_used += !slots->used[index];
        slots->used[index] = true;
        return 0;
}

static int find_free(const Launcher *launcher, uint32_t *ret) {
        Slots *slots = launcher->slots;

        for (uint32_t i = 0; i < slots->max && slots->n_used < slots->max; i++) {
                uint32_t index = (slots->next + i) % slots->max;

                if (!slots->used[index] && net_slot_usable(launcher->net, index)) {
                        slots->next = (index + 1) % slots->max;
                        *ret = index;
                        return 0;
                }
        }

        return -EUSERS;
}

static int make_slot(Launcher *launcher, SandboxSlot *ret, SandboxError *reterr) {
        SandboxSlot slot = SANDBOX_SLOT_INIT;
        uint32_t index;
        int r;

        *reterr = (SandboxError){.layer = LAYER_PROCESS};
        r = find_free(launcher, &index);
        if (r < 0) {
                (void)snprintf(
                        reterr->detail,
                        sizeof(reterr->detail),
                        "all %u slots are in use (max_dynos)",
                        launcher->slots->max);
                return r;
        }

        r = sandbox_slot_prepare(launcher->host, index, &slot, reterr);
        if (r < 0)
                return r;

        r = net_slot_create(launcher->net, index, &slot.netns_fd);
        if (r != 0) {
                sandbox_slot_release(&slot);
                reterr->layer = LAYER_NETWORK;
                reterr->error = r < 0 ? -r : EADDRINUSE;
                (void)snprintf(
                        reterr->detail,
                        sizeof(reterr->detail),
                        "cannot make the link of slot %u",
                        index);
                return -reterr->error;
        }

        slot.address = net_plan_address(launcher->config->network, index).dyno;
        launcher->slots->used[index] = true;
        launcher->slots->n_used++;
        *ret = slot;
        return 0;
}

int slots_take(Launcher *launcher, SandboxSlot *ret, SandboxError *reterr) {
        Slots *slots = launcher->slots;

        if (slots->n_ready > 0) {
                *ret = slots->ready[--slots->n_ready];
                return 0;
        }

        return make_slot(launcher, ret, reterr);
}

uint32_t slots_ready(const Slots *slots) {
        return slots->n_ready;
}

size_t slots_list_links(const Slots *slots, NetKeep *ret) {
        for (uint32_t i = 0; i < slots->n_ready; i++)
                ret[i] = (NetKeep){
                        .slot = slots->ready[i].index,
                        .netns_fd = slots->ready[i].netns_fd,
                };
        return slots->n_ready;
}

void slots_give_back(Launcher *launcher, SandboxSlot *slot) {
        int r;

        assert(slot->index < launcher->slots->room);

        r = net_slot_destroy(launcher->net, slot->index);
        if (r < 0)
                (void)log_warning_errno(r, "Cannot take slot %u down completely: %m", slot->index);
        sandbox_slot_release(slot);
        launcher->slots->used[slot->index] = false;
        launcher->slots->n_used--;
}

bool slots_refill(void *userdata) {
        Launcher *launcher = userdata;
        Slots *slots = launcher->slots;
        SandboxError error;
        int r;

        if (launcher->stopping || slots->n_ready >= launcher->config->pool ||
            slots->n_ready >= slots->max || clock_boottime_usec() < slots->pause_until)
                return false;

        r = make_slot(launcher, &slots->ready[slots->n_ready], &error);
        if (r < 0) {
                if (r != -EUSERS)
                        (void)log_warning_errno(
                                r,
                                "Cannot make a slot ready, %s: %s: %m",
                                launch_layer_to_string(error.layer),
                                error.detail);
                slots->pause_until = clock_boottime_usec() + REFILL_PAUSE_USEC;
                return false;
        }

        slots->n_ready++;
        return slots->n_ready < launcher->config->pool;
}
