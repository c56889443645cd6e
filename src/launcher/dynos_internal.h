/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What dynos.c (life of a dyno), dyno_folder.c and dynos_adopt.c share. */

#include "ipc/status_record.h"
#include "launcher/dynos.h"

struct Dyno {
        Launcher *launcher;
        Dyno *next;
        LaunchDynoFacts facts;
        SandboxSlot slot;
        SandboxDyno process;
        uint32_t phase_usec[_PHASE_MAX]; /* zeroes for an adopted one */

        /* All owned. The FIFOs are open for reading, and never read: rule 3. */
        int app_fifo_fd, log_fifo_fd, status_fd;
        int watch; /* of inotify on the status file, or negative */

        /* starts.c, while it is on its way; facts.header has the request's number then */
        SandboxStart *start;
        Source *start_source, *start_timer;

        Source *exit_source; /* process.pidfd; NULL: it has ended, or is on its way */
        Source *end_timer;   /* while dyno-init waits for its output to be read */
        Source *drain_timer; /* while it has ended and something is left to read */
        uint32_t exit_status, exit_flags;
        uint64_t exit_usec; /* CLOCK_REALTIME; 0: runs */
        bool exit_told;     /* to a supervisor */
        bool group_gone;    /* nothing of it runs any more, so its slot may be another's */
        bool start_failed;  /* nobody knows of it, it only is still dying */
        uint64_t drain_wait_usec;
};

/* ---- dyno_folder.c ---- */

/* Makes ".ID" with FIFOs and status file, and opens them into @dyno. */
int dyno_folder_make(Dyno *dyno) _must_check_;
/* Opens an existing "ID" into @dyno. */
int dyno_folder_open(Dyno *dyno) _must_check_;
/* Writes the state file; with @complete also ".ID" becomes "ID" and is watched. */
int dyno_folder_publish(Dyno *dyno, bool complete) _must_check_;
int dyno_folder_watch(Dyno *dyno) _must_check_;
/* Removes the folder NAME with all that we put into it. */
void dyno_folder_remove(const Launcher *launcher, const char *name);
/* Reads the facts of "ID". Return: as dyno_state_read(), or another negative errno. */
int dyno_folder_read_facts(const Launcher *launcher, const char *id, LaunchDynoFacts *ret)
        _must_check_;
/* The record as dyno-init wrote it: a tenant's word. False if there is none that makes sense. */
bool dyno_read_status(const Dyno *dyno, StatusRecord *ret);
/* True if nothing is left to read in either FIFO. */
bool dyno_is_drained(const Dyno *dyno);

/* ---- dynos.c ---- */

/* Runs or is on its way. */
static inline bool dyno_is_alive(const Dyno *dyno) {
        return dyno->exit_source || dyno->start;
}

/* Kills what is in the group and removes it. Return: 0; -EBUSY: it is still dying; -errno. */
int dyno_group_end(const Launcher *launcher, const char *id, int cgroup_fd) _must_check_;

Dyno *dyno_new(Launcher *launcher); /* not linked yet; NULL: no memory */
Dyno *dyno_free(Dyno *dyno);        /* unlinks and closes; the dyno itself runs on */
DEFINE_CLEANUP(Dyno, dyno_free)
Dyno *dyno_find(const Launcher *launcher, const char *id); /* runs or is draining; or NULL */
Dyno *dyno_find_running(const Launcher *launcher, const char *id); /* for requests; or NULL */
void dyno_link(Dyno *dyno);
/* What the network is told about it. */
NetDyno dyno_network(const LaunchStart *start);
/* Watches the process. Return: 0 or a negative errno. */
int dyno_watch_exit(Dyno *dyno) _must_check_;
/* The process is gone: notes why, tells the supervisor, begins to drain. */
void dyno_ended(Dyno *dyno);
/* Acts on what a status record says that was not known yet. */
void dyno_take_status(Dyno *dyno);
void dyno_announce(Dyno *dyno);
/* Ends what is left of it, and forgets it when nothing is. */
void dyno_tear_down(Dyno *dyno);
/*
 * The one that has waited longest for a logger to read its output gives its slot to a start
 * that there is none left for. What the logger has opened it can still read. True if there
 * was one.
 */
bool dynos_forget_oldest(Launcher *launcher);
