/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "ipc/dyno_state.h"

_Static_assert(
        sizeof(DynoStateHead) == 40 + DYNO_ID_SIZE && DYNO_ID_SIZE % 8 == 0,
        "the head stays as it is, and without holes");
_Static_assert(sizeof(DynoStateHead) + sizeof(LaunchStart) <= DYNO_STATE_SIZE_MAX, "room");

size_t dyno_state_write(char buf[DYNO_STATE_SIZE_MAX], const LaunchDynoFacts *facts) {
        DynoStateHead head = {
                .magic = DYNO_STATE_MAGIC,
                .version = DYNO_STATE_VERSION,
                .start_size = sizeof(facts->start),
                .pid = facts->pid,
                .uid = facts->uid,
                .address = facts->address,
                .bound = facts->bound,
                .started_usec = facts->started_usec,
        };

        field_set(head.id, sizeof(head.id), facts->start.id);
        memcpy(buf, &head, sizeof(head));
        memcpy(buf + sizeof(head), &facts->start, sizeof(facts->start));
        return sizeof(head) + sizeof(facts->start);
}

/* Return: 0 or DYNO_STATE_E_NEWER. */
static int take_start(const char *buf, size_t size, LaunchStart *ret) {
        memset(ret, 0, sizeof(*ret));
        memcpy(ret, buf, size < sizeof(*ret) ? size : sizeof(*ret));
        for (size_t i = sizeof(*ret); i < size; i++)
                if (buf[i] != 0)
                        return DYNO_STATE_E_NEWER;
        return 0;
}

int dyno_state_read(const char *buf, size_t size, const char *id, LaunchDynoFacts *ret) {
        LaunchMessage msg;
        DynoStateHead head;
        int r;

        assert(buf && id && ret);

        if (size < sizeof(head))
                return -EBADMSG;
        memcpy(&head, buf, sizeof(head));
        if (head.magic != DYNO_STATE_MAGIC || !field_is_clean(head.id, sizeof(head.id)) ||
            strcmp(head.id, id) != 0)
                return -EBADMSG;
        if (head.version > DYNO_STATE_VERSION)
                return DYNO_STATE_E_NEWER;
        if (head.version == 0 || head.start_size != size - sizeof(head))
                return -EBADMSG;

        memset(&msg, 0, sizeof(msg));
        msg.facts = (LaunchDynoFacts){
                .header = {.type = LAUNCH_DYNO},
                .pid = head.pid,
                .uid = head.uid,
                .address = head.address,
                .bound = head.bound,
                .started_usec = head.started_usec,
        };
        r = take_start(buf + sizeof(head), head.start_size, &msg.facts.start);
        if (r != 0)
                return r;
        if (launch_message_check(&msg, sizeof(msg.facts), 0, LAUNCH_FROM_LAUNCHER) < 0 ||
            strcmp(msg.facts.start.id, id) != 0)
                return -EBADMSG;

        *ret = msg.facts;
        return 0;
}
