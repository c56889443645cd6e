/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file /run/dynod/dynos/ID/status: what dyno-init writes down for whoever lives.
 *
 * dyno-init is handed the file open and writes the whole record with one pwrite(2) at
 * offset 0. dynod watches it with inotify(7). dyno-init has the dyno's uid, so the
 * record is a tenant's word: root believes its own waitid(2) and memory.events first.
 */

#include <stdint.h>

#define STATUS_RECORD_MAGIC UINT32_C(0x44594e53) /* "DYNS" */

#define STATUS_BOUND (UINT32_C(1) << 0)  /* something listens on the web port */
#define STATUS_EXITED (UINT32_C(1) << 1) /* the command ended, its output may still be under way */
/* The command's process exists. Nobody acts on it; a person or a test may wait for it. */
#define STATUS_STARTED (UINT32_C(1) << 2)
#define STATUS_FLAGS_ALL (STATUS_BOUND | STATUS_EXITED | STATUS_STARTED)

typedef struct StatusRecord {
        uint32_t magic;
        uint32_t flags;
        uint32_t exit_status; /* 0 to 255; 128+n for signal n */
        uint32_t reserved;
        uint64_t bound_usec; /* CLOCK_BOOTTIME */
        uint64_t exit_usec;  /* CLOCK_BOOTTIME */
} StatusRecord;
