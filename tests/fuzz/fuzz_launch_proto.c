/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a message of the launcher's channel. What passes the check must be safe to
 * use: names end, numbers are in range, and nothing of it can name a path. The first byte
 * is the side, the second the number of descriptors; with 0x80 the size is the type's own.
 *
 * Covers: ipc/launch_proto.c
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "ipc/launch_proto.h"

static void use_id(const char *id) {
        assert(strnlen(id, DYNO_ID_SIZE) < DYNO_ID_SIZE);
        assert(!strchr(id, '/') && id[0] != '.' && id[0] != '\0');
}

static void use_start(const LaunchStart *start) {
        use_id(start->id);
        assert(strnlen(start->app, APP_NAME_SIZE) < APP_NAME_SIZE && !strchr(start->app, '/'));
        assert(strnlen(start->type, PROCESS_TYPE_SIZE) < PROCESS_TYPE_SIZE);
        assert(start->memory_kill >= start->memory_quota && start->process_limit > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        LaunchMessage msg;
        LaunchSide side;
        size_t n_fds;

        if (size < 2)
                return 0;
        side = (data[0] & 1) != 0 ? LAUNCH_FROM_LAUNCHER : LAUNCH_FROM_SUPERVISOR;
        n_fds = data[1] % 5;
        data += 2;
        size -= 2;
        if (size > sizeof(msg))
                size = sizeof(msg);
        memset(&msg, (data[-1] & 0x80) != 0 ? 0 : 0xa5, sizeof(msg));
        memcpy(&msg, data, size);
        /* Mostly the size is right, or no field would ever be looked at. */
        if ((data[-1] & 0x80) != 0 && launch_message_size(msg.header.type) > 0)
                size = launch_message_size(msg.header.type);

        if (launch_message_check(&msg, size, n_fds, side) < 0)
                return 0;
        if (msg.header.type == LAUNCH_START)
                use_start(&msg.start);
        if (msg.header.type == LAUNCH_SIGNAL || msg.header.type == LAUNCH_KILL)
                use_id(msg.header.type == LAUNCH_KILL ? msg.dyno.id : msg.signal.id);
        if (msg.header.type == LAUNCH_EXTRACT)
                assert(msg.extract.kind < _OBJECT_KIND_MAX);
        if (msg.header.type == LAUNCH_POLICY)
                assert(msg.policy.n_rules <= NETWORK_RULES_MAX &&
                       msg.policy.n_trusted <= NETWORK_TRUSTED_MAX &&
                       msg.policy.n_services <= NETWORK_SERVICES_MAX &&
                       msg.policy.n_published <= NETWORK_PUBLISHED_MAX);
        (void)launch_layer_to_string(msg.header.type);
        (void)launch_phase_to_string(msg.header.type);
        (void)layer_verdict_to_string(msg.header.type);
        return 0;
}
