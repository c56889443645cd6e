/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The dynos that live, as the launcher sees them: process, FIFOs, folder, slot.
 *
 * A dyno's folder, run_dir/dynos/ID, is made as ".ID" and renamed when the dyno runs, so
 * that whoever watches sees complete ones only; a leading dot that a new dynod finds is a
 * start that did not come to its end, and is killed. When a dyno has ended its folder
 * stays until the logger has read both FIFOs and the supervisor was told.
 */

#include "launcher/launcher.h"

/**
 * dyno_start() - LAUNCH_START
 * @launcher:   the launcher
 * @start:      a checked message
 * @spec_fd:    borrowed
 * @attach_fd:  borrowed, or negative
 *
 * Answers when it was refused, the dyno runs, or could not be started.
 */
void dyno_start(Launcher *launcher, const LaunchStart *start, int spec_fd, int attach_fd);

/* The supervisor is gone: nothing of what it began to start has run, and nothing will. */
void starts_abort(Launcher *launcher);

/* LAUNCH_SIGNAL, LAUNCH_KILL. Return: 0, -ESRCH, or a negative errno. */
int dyno_signal(Launcher *launcher, const LaunchSignal *request) _must_check_;
int dyno_kill(Launcher *launcher, const char *id) _must_check_;
/**
 * dyno_exec() - LAUNCH_EXEC
 * @launcher:   the launcher
 * @request:    a checked message
 * @spec_fd:    borrowed
 * @attach_fd:  borrowed
 * @reterr:     filled on failure
 *
 * Return: 0: the answer is sent when the process has joined the dyno, or could not;
 * -ESRCH; -EBUSY if too many are on their way; or a negative errno.
 */
int dyno_exec(
        Launcher *launcher,
        const LaunchDyno *request,
        int spec_fd,
        int attach_fd,
        SandboxError *reterr) _must_check_;

/* The supervisor is gone: nobody waits for the answers that are still to come. */
void execs_untell(Launcher *launcher);
/* Forgets all of them; those that are through run on, the others die. */
void execs_clear(Launcher *launcher);

/* LAUNCH_INSPECT. ret->result is 0, -ESRCH or a negative errno. */
void dyno_inspect(Launcher *launcher, const char *id, LaunchInspected *ret);

/**
 * dynos_adopt() - take over what an earlier dynod left running
 * @launcher:  host and folders are open, the network is not started
 *
 * Dynos that ended meanwhile stay until the supervisor was told. What is half made is
 * killed and removed.
 *
 * Return: 0 or a negative errno; one dyno that cannot be adopted is logged and killed.
 */
int dynos_adopt(Launcher *launcher) _must_check_;

/* Fills @ret, with room for dynos_count(), with what the living dynos have of the network. */
size_t dynos_list_links(Launcher *launcher, NetKeep *ret);

/* The supervisor is gone: what it was told may be lost, and the next one is told again. */
void dynos_untell(Launcher *launcher);

/* Tells the supervisor of each dyno (LAUNCH_DYNO), and of each that has ended. */
void dynos_announce(Launcher *launcher);

/* True if one that runs was made of that object. */
bool dynos_use(const Launcher *launcher, ObjectKind kind, const uint8_t digest[DIGEST_SIZE]);
/* How many run, or are on their way. */
unsigned dynos_count(const Launcher *launcher);
/* How many dynos_announce() tells of. */
unsigned dynos_told(const Launcher *launcher);

/* inotify callback: some status record changed. */
int dynos_on_inotify(void *userdata, uint32_t events);

/* `dynod --purge`: removes every folder, whatever is in it. The dynos are dead. */
void dynos_remove_folders(Launcher *launcher);

/* Forgets all of them; the dynos themselves run on. */
void dynos_clear(Launcher *launcher);
