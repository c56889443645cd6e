/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The file "state" in a dyno's folder: what a dynod that was started later must know of it.
 *
 * Root writes it; root and the logger read it, maybe of another version of dynod: dynos
 * live through an upgrade. So it has a head that stays as it is for ever, and behind it the
 * LaunchStart of whoever wrote it. That one grows at its end only, and zero there means
 * what was so before: a shorter one is filled up with zeroes, and of a longer one what is
 * not known here must be zero. Any other change is a new DYNO_STATE_VERSION, and whoever
 * makes it converts the older ones.
 */

#include "ipc/launch_proto.h"

#define DYNO_STATE_MAGIC UINT32_C(0x74737964) /* "dyst" */
#define DYNO_STATE_VERSION 1

typedef struct DynoStateHead {
        uint32_t magic;
        uint32_t version;
        uint32_t start_size; /* bytes of LaunchStart, which follows and ends the file */
        uint32_t pid, uid, address, bound; /* as in LaunchDynoFacts */
        uint32_t reserved;
        uint64_t started_usec;
        char id[DYNO_ID_SIZE];
} DynoStateHead;

/* Room for one of a later version, so that it is seen to be one. */
#define DYNO_STATE_SIZE_MAX 4096

enum {
        _DYNO_STATE_E_OK,

        DYNO_STATE_E_NEWER, /* a newer dynod wrote it, and it says something unknown here */
};

/* Returns the size of the file, at most DYNO_STATE_SIZE_MAX. */
size_t dyno_state_write(char buf[DYNO_STATE_SIZE_MAX], const LaunchDynoFacts *facts);

/**
 * dyno_state_read() - read what dyno_state_write() made, here or elsewhere
 * @buf:   contents of the file
 * @size:  bytes of it
 * @id:    of the dyno
 * @ret:   the facts, checked as launch_message_check() does; header.type is LAUNCH_DYNO
 *
 * Return: 0, DYNO_STATE_E_NEWER, or -EBADMSG if it is damaged or another dyno's.
 */
int dyno_state_read(const char *buf, size_t size, const char *id, LaunchDynoFacts *ret)
        _must_check_;
