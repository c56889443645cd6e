/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dyno-init <-> herokuctl, for `run` and `ps:exec`: a SOCK_SEQPACKET pair that
 * herokuctl makes and that passes through supervisor and launcher unread. No terminal
 * byte goes through the daemon: dyno-init makes the terminal (or three pipes) inside
 * the dyno and sends the outer ends.
 *
 * herokuctl treats every byte as a tenant's.
 */

#include <stdint.h>

#define ATTACH_MAGIC UINT32_C(0x44594154) /* "DYAT" */

typedef enum AttachType {
        ATTACH_OPEN = 1, /* fds: terminal master, or stdin (write), stdout (read), stderr (read) */
        ATTACH_EXIT,     /* @status: the command's, as a shell */
        ATTACH_FAILED,   /* @status: a positive errno, 126/127 cases included: ENOENT, EACCES */
        _ATTACH_TYPE_MAX,
} AttachType;

typedef struct AttachMessage {
        uint32_t magic;
        uint32_t type;
        uint32_t status;
        uint32_t reserved;
} AttachMessage;
