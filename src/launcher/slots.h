/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Slots made ready before a start is asked for: uid, namespaces, link, firewall elements.
 *
 * A slot is a number, and with it come uid and address. Numbers are given out in turn,
 * so that one that was just freed is not used again soon.
 */

#include "launcher/launcher.h"

/* @room: slots that the network has; @max: how many may be in use at once. */
int slots_new(Slots **ret, uint32_t room, uint32_t max) _must_check_;
/* Closes what is ready; links and elements stay for net_start() or net_purge() to remove. */
Slots *slots_free(Slots *slots);
DEFINE_CLEANUP(Slots, slots_free)

/* A dyno that was adopted has it. Return: 0, or -ERANGE if there is no such slot. */
int slots_mark_used(Slots *slots, uint32_t index) _must_check_;

/**
 * slots_take() - get a slot, ready or made now
 * @launcher:  host and net are used
 * @ret:       owned by the caller; give it back with slots_give_back()
 * @reterr:    filled on failure
 *
 * Return: 0, -EUSERS if all are in use, or a negative errno.
 */
int slots_take(Launcher *launcher, SandboxSlot *ret, SandboxError *reterr) _must_check_;

/* How many are ready, and what they have of the network, which goes to @ret. */
uint32_t slots_ready(const Slots *slots);
size_t slots_list_links(const Slots *slots, NetKeep *ret);

/* Removes link and elements, and closes the namespaces. */
void slots_give_back(Launcher *launcher, SandboxSlot *slot);

/* IdleCallback: makes one more slot ready if there is need. Returns true if one more is missing. */
bool slots_refill(void *userdata);
