/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* In place of the kernel and of the launcher's children, for fuzz_launcher.c. */

#include <stdbool.h>

#include "fuzz_folder.h"
#include "fuzz_input.h"
#include "launcher/launcher.h"

/* Digests that are these bytes all over: what the store has at first. */
#define FAKE_STACK 1
#define FAKE_SLUG 2

extern SandboxHost *const fake_host;
extern uint64_t fake_now_usec; /* CLOCK_BOOTTIME */
extern uint8_t fake_fail_next; /* how the next calls of the kernel go; 0: well */
extern bool fake_supervisor_killed;

/* Puts a stack and a slug where the store keeps them. */
void fake_objects(const char *folder);

void fake_dyno_end(unsigned which); /* its process, or a ps:exec's, is gone */
void fake_child_end(Input *in);     /* some child of the store, as the input says */
void fake_forget_policies(void);    /* the network of a new launcher has none */
void fake_reset(void);
