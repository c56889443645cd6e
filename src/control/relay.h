/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A client's bytes on their way to sd-bus, message by message.
 *
 * sd-bus takes messages of up to 128 MB and 1,024 descriptors, and holds them in memory
 * while they arrive. The relay reads the D-Bus framing (a line protocol first, then a
 * fixed header with the length of each message) and ends the connection when a message
 * is larger than anything that herokuctl sends. It holds one buffer of fixed size and
 * interprets nothing else.
 */

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

typedef struct Relay Relay;

typedef struct RelayEnds {
        int input;  /* what sd-bus reads from */
        int output; /* what sd-bus writes to: a duplicate of the client's socket */
} RelayEnds;

/* @why: NULL when the client hung up, else a static text. Called once. */
typedef void (*RelayClosed)(const char *why, void *userdata);

/**
 * relay_new() - put a relay between a client and its sd_bus
 * @ret:         owned by the caller, release with relay_free()
 * @event:       the loop; a reference is taken
 * @fd:          the client's socket; borrowed, the relay uses duplicates of it
 * @closed:      told when the client's end is over
 * @userdata:    for @closed
 * @ret_ends:    owned by the caller
 *
 * Return: 0 or a negative errno.
 */
int relay_new(
        Relay **ret,
        sd_event *event,
        int fd,
        RelayClosed closed,
        void *userdata,
        RelayEnds *ret_ends) _must_check_;
/*
 * True if descriptors were left open for ever, since closing them might take as long. Their
 * client has to pay for them.
 */
bool relay_keeps(const Relay *relay);

Relay *relay_free(Relay *relay);
DEFINE_CLEANUP(Relay, relay_free)
