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
extern uint64_t fake_now_usec;  /* CLOCK_BOOTTIME */
extern uint16_t fake_fail_next; /* how the next calls of the kernel go; 0: well */
extern int fake_service_fd[2];  /* the supervisor's end of its channel, the logger's; or none */

/* Puts a stack and a slug where the store keeps them. */
void fake_objects(const char *folder);

void fake_dyno_end(unsigned which);      /* its process, or a ps:exec's, is gone */
void fake_child_end(Input *in);          /* some child of root's, as the input says */
void fake_sweeper_end(void);             /* it did what it should */
void fake_service_end(unsigned service); /* 0: the supervisor, 1: the logger */
void fake_check_listener(int fd);        /* what a supervisor gets as control socket works */
void fake_network_change(void);          /* somebody else changed the host's */
bool fake_trash_is_left(void);           /* some that somebody should empty */
void fake_forget_policies(void);         /* the network of a new launcher has none */
void fake_reset(void);
