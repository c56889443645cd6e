/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What no limit, filter or profile of Linux can refuse to dynos: BPF programs that the kernel
 * asks, about processes below the cgroup of all dynos and no others.
 *
 * Modules: the kernel starts modprobe(8) as root and in no dyno's cgroup, for instance when a
 * program has a format that it does not know (binfmt-XXXX, Linux up to 6.13).
 *
 * Locks: record locks (fcntl(2): F_SETLK, F_OFD_SETLK) are charged to nobody, 200 bytes each,
 * as many as there are ranges in files.
 *
 * Sockets: what waits in one that nobody has accepted, copies of what it sent, answers of netlink
 * and datagrams that are not finished are charged to nobody, some 200 kB for each socket, 400 kB
 * if it asks for that.
 *
 * How many there are of TCP and UDP is bounded, too: timers and softirqs work for each, at nobody's
 * expense.
 *
 * Sends: TCP charges the bytes that are not acknowledged, and not the pages that they are in. And
 * sendfile(2) from what has no page cache sends pages that are charged to nobody.
 *
 * Folders: overlayfs makes a list of whatever a folder of /app has for who reads it, and keeps it
 * for as long as the reader has the folder open; another one for whoever comes after a change. They
 * are charged to nobody.
 *
 * Flight: descriptors that were sent (SCM_RIGHTS) and not received are counted for each user, by
 * RLIMIT_NOFILE; a few dynos together have enough for every message of the host to start a search.
 *
 * Interrupts: timers that are descriptors may all go off in one interrupt, and whoever writes to what
 * many epolls watch, or many threads poll, wakes them all with interrupts off. Who ends and leaves a large group
 * of processes without a parent, and who changes a semaphore that many wait for with others, has the kernel go
 * through them again for each. Nothing preempts any of that, whatever the weight.
 *
 * Terminals: whoever opens one has a lock that the kernel has once for all of them, and holds it for as
 * long as the other threads of its dyno keep it from running. And what is written to one is taken in by a worker
 * of the kernel's, which no cgroup pays for.
 *
 * Semaphores: so has whoever looks below /sys, reads which mounts there are or asks for the host's
 * name, or forks, if somebody was about to make a cgroup or a link, to mount, to name a host or to move a process.
 *
 * The programs are pinned: they work while no dynod runs, and go with `dynod --purge`. The
 * child dynod-guards (launcher/guards_main.c) loads them.
 */

#include "base/cleanup.h"
#include "base/names.h"
#include "ipc/launch_proto.h"

#define GUARD_FOLDER "/sys/fs/bpf" /* an instance's are in the folder of its name there */
#define GUARD_PATH_SIZE (sizeof(GUARD_FOLDER "//interrupts-unpolled-new") + INSTANCE_NAME_SIZE)

typedef enum GuardPin {
        PIN_NONE,
        PIN_MODULES,
        PIN_LOCKS,
        PIN_LOCKS_TAKEN,    /* F_SETLK and its like return */
        PIN_LOCKS_CLOSED,   /* close(2): the process's locks on that file are gone */
        PIN_LOCKS_RELEASED, /* nobody has the file description any more */
        PIN_SOCKETS_HELD,   /* a map, which goes on: what is open cannot be found anew */
        PIN_SOCKETS_SUMS,   /* the same */
        PIN_SOCKETS_FREED,
        PIN_SOCKETS_CLOSED,
        PIN_SOCKETS_ACCEPTED,
        PIN_SOCKETS_CLONED, /* somebody connected, and is not accepted yet */
        PIN_SOCKETS_ASKED,  /* somebody wants to connect */
        PIN_SOCKETS_LISTEN,
        PIN_SOCKETS_NETLINK,
        PIN_SOCKETS_OPTION,
        PIN_SOCKETS_SENT,
        PIN_SOCKETS_COUNT, /* a map, which goes on: what is open is in it already */
        PIN_SOCKETS_GONE,
        PIN_SOCKETS_BORN, /* of a connection that came in */
        PIN_SOCKETS_FULL, /* somebody wants to connect */
        PIN_SOCKETS_MADE,
        PIN_SENDS_SENDERS, /* a map, which goes on: it is not known of sockets how often they sent */
        PIN_SENDS_SUMS,    /* the same */
        PIN_SENDS_FREED,
        PIN_SENDS_ACKNOWLEDGED,
        PIN_SENDS_COUNTED,
        PIN_SENDS_ASKED,
        PIN_SENDS_FILES,
        PIN_FOLDERS_READING, /* a map, which goes on as those of sockets do */
        PIN_FOLDERS_HELD,    /* the same */
        PIN_FOLDERS_LISTS,   /* the same */
        PIN_FOLDERS_SUMS,    /* the same */
        PIN_FOLDERS_FREED,
        PIN_FOLDERS_ENDED, /* a call that reads a folder returns */
        PIN_FOLDERS_OPENED,
        PIN_FOLDERS_ASKED,
        PIN_FOLDERS_BEGUN,
        PIN_FLIGHT,
        PIN_FLIGHT_STREAM, /* a send ends */
        PIN_FLIGHT_DATAGRAM,
        PIN_FLIGHT_PACKET,
        PIN_INTERRUPTS_TIMERS, /* a map, which goes on: what is open cannot be found anew */
        PIN_INTERRUPTS_SUMS,   /* the same */
        PIN_INTERRUPTS_FREED,
        PIN_INTERRUPTS_MADE,
        PIN_INTERRUPTS_KILLED, /* a map, which goes on: for a dyno it is for life */
        PIN_INTERRUPTS_WATCHED,
        PIN_INTERRUPTS_POLLED,
        PIN_INTERRUPTS_FORKED,
        PIN_INTERRUPTS_PAGES, /* a map, which goes on: of who polls now */
        PIN_INTERRUPTS_UNPOLLED,
        PIN_INTERRUPTS_ADDED,
        PIN_INTERRUPTS_PROCESSES, /* a map, which goes on: what runs cannot be found anew */
        PIN_INTERRUPTS_COUNT,     /* the same */
        PIN_INTERRUPTS_REAPED,
        PIN_INTERRUPTS_ENDED,
        PIN_INTERRUPTS_BEGUN,
        PIN_INTERRUPTS_OPERATES,
        PIN_TERMINALS_SUMS, /* a map, which goes on: or each start would give a dyno some more */
        PIN_TERMINALS_OPENED,
        PIN_TERMINALS_PAID, /* as PIN_TERMINALS_SUMS */
        PIN_TERMINALS_WORKED,
        PIN_TERMINALS_WORKS, /* somebody takes in what was written */
        PIN_TERMINALS_LOOKED,
        PIN_TERMINALS_LOOKS, /* the same, if there is no room for it */
        PIN_TERMINALS_WRITTEN,
        PIN_SEMAPHORES_ENDS, /* a map, which goes on as that of terminals does */
        PIN_SEMAPHORES_PAID, /* the same */
        PIN_SEMAPHORES_HAD,
        PIN_SEMAPHORES_WAITS,
        PIN_SEMAPHORES_FORKED,
        PIN_SEMAPHORES_FORKS,
        _PIN_MAX,
} GuardPin;

/* Where the program @pin of @instance is pinned. */
void guard_path(char ret[GUARD_PATH_SIZE], const char *instance, GuardPin pin);

/* The same as they are while they are put in place of others. */
void guard_fresh_path(char ret[GUARD_PATH_SIZE], const char *instance, GuardPin pin);

/**
 * guards_check() - can they be had on this host?
 *
 * Return: 0; -ENOPROTOOPT if bpf is none of this kernel's security modules, -ENODEV if there
 * is no BPF file system.
 */
int guards_check(void) _must_check_;

/* Makes the folder for them. Return: 0 or a negative errno. */
int guards_make_folder(const char *instance) _must_check_;

/* What there is of them now. */
void guards_look(const char *instance, uint8_t ret[_GUARD_MAX]);

/* All of them, and the folder. */
void guards_remove(const char *instance);
