/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Dyno: one dyno that lives, or that the formation wants. Belongs to the Manager.
 *
 * After a crash the same Dyno starts again under a new id. One that is replaced or not
 * wanted any more stays until its processes are gone, beside its successor.
 */

#include "supervisor/dyno_fsm.h"
#include "supervisor/manager_internal.h"

/* How far a start has come. */
typedef enum DynoPlace {
        DYNO_PLACE_NONE,    /* no process */
        DYNO_PLACE_QUEUED,  /* waits for its turn */
        DYNO_PLACE_DELAYED, /* what is missing will come: its tree, memory */
        DYNO_PLACE_SENT,    /* the launcher is at it */
        DYNO_PLACE_RUNNING,
        DYNO_PLACE_ADOPTING, /* lived before we were started: will the launcher name it? */
} DynoPlace;

typedef struct CpuMark {
        uint64_t cpu_usec, at_usec; /* CLOCK_BOOTTIME; 0: none */
} CpuMark;

struct Dyno {
        Dyno *next;
        Manager *manager;
        App *app;

        char id[DYNO_ID_SIZE];
        char name[DYNO_NAME_SIZE];
        char type[PROCESS_TYPE_SIZE];
        uint32_t number;
        bool one_off;
        bool unwanted; /* goes away when its processes are gone */
        bool has_heir; /* another Dyno has its name now */

        DynoState state;
        DynoState before_stop; /* in STOPPING: what it was */
        DynoPlace place;
        uint64_t since_usec;      /* CLOCK_REALTIME, of the state */
        uint64_t deadline_usec;   /* CLOCK_BOOTTIME, of the state; 0: none */
        uint64_t next_start_usec; /* CLOCK_REALTIME; 0: none */
        uint64_t up_usec;         /* CLOCK_BOOTTIME, when it came up; 0: it did not */

        uint32_t crashes; /* in a row, on this release */
        int exit_status;  /* of the last process; -1: none */
        bool refused;     /* the last start was refused, no process ever ran */
        bool killed;      /* LAUNCH_KILL was sent: dyno-init dies, too, and says nothing */
        char code[8];     /* of the last failure: "R10" */
        char reason[200];
        const char *error; /* DYNOD_ERROR_* of a refused start */

        /* of the start */
        uint32_t release;
        char stack[STACK_NAME_SIZE];
        uint32_t stack_version;
        uint8_t stack_digest[DIGEST_SIZE], slug[DIGEST_SIZE];
        DynoSize size;
        char *command; /* for people */
        uint32_t web_port;
        uint32_t restores; /* how often its stack or slug was extracted again */
        uint32_t waits;    /* how often it was delayed until scratch has room */
        uint32_t resends;  /* how often root was told its app's network policy again */
        Import *restore;

        /* a one-off before its start */
        int spec_fd, attach_fd;
        RunDone run_done;
        void *run_userdata;

        /* of the process, from the launcher */
        uint32_t pid, uid, address; /* address: network byte order */
        uint64_t started_usec;      /* CLOCK_REALTIME */

        uint64_t memory, swap, cpu_usec; /* as last read */
        CpuMark cpu_marks[2];            /* at the last two samples, or the start; older first */
};

/**
 * dyno_new() - create a dyno in state DOWN and link it into its manager
 * @ret:      where it is stored; borrowed from the manager
 * @app:      outlives the dyno
 * @type:     a valid process type
 * @number:   N of TYPE.N
 *
 * Return: 0 or a negative errno.
 */
int dyno_new(Dyno **ret, Manager *manager, App *app, const char *type, uint32_t number)
        _must_check_;
Dyno *dyno_free(Dyno *dyno);

/* Feeds the state machine. The dyno may be freed by that. */
void dyno_handle_event(Dyno *dyno, DynoEvent event);

/* DYNO_EV_STOP; with @unwanted it goes away at the end, else it stays as down. */
void dyno_stop(Dyno *dyno, bool unwanted);

/*
 * Starts it anew, on the current release. If it lives, a successor takes its name at once
 * and this one is told to stop; it may be freed. Return: who has the name now, or NULL.
 */
Dyno *dyno_replace(Dyno *dyno, const DynoSize *size);

/* From the launcher. */
void dyno_on_exited(Dyno *dyno, const LaunchExited *exited);
void dyno_on_bound(Dyno *dyno);
void dyno_adopt(Dyno *dyno, const LaunchDynoFacts *facts);

static inline bool dyno_is_alive(const Dyno *dyno) {
        return dyno->state == DYNO_STARTING || dyno->state == DYNO_UP ||
               dyno->state == DYNO_STOPPING;
}

/* It goes away when its processes do. */
static inline bool dyno_is_leaving(const Dyno *dyno) {
        return dyno->unwanted || dyno->has_heir;
}

/* Heroku's line of the dyno manager: source heroku, procid its name. */
void dyno_log(const Dyno *dyno, const char *fmt, ...) _printf_(2, 3);

/* Fills @ret with what users see; reads memory and CPU time. @buf: for the address. */
#define DYNO_ADDRESS_SIZE 16
void dyno_info(Dyno *dyno, DynoInfo *ret, char buf[DYNO_ADDRESS_SIZE]);

/* ---- dyno_launch.c ---- */

/* Sends STARTs while start_parallel allows, web first. */
void dyno_launch_queued(Manager *manager);
/* A new id, never used among ours. Return: 0 or a negative errno. */
int dyno_choose_id(Dyno *dyno) _must_check_;
/* It cannot be started: the end of a one-off, else a crash. The dyno may be freed. */
void dyno_start_failed(Dyno *dyno, const char *error, const char *reason);
/* Takes the next start: new id, facts of the current release. */
void dyno_launch(Dyno *dyno);
/* Asks the launcher for a signal or a kill. */
void dyno_send_term(Dyno *dyno);
void dyno_send_kill(Dyno *dyno);

/* ---- dyno_env.c ---- */

typedef struct DynoCommand {
        uint32_t flags; /* DYNO_SPEC_* */
        const char *const *args;
        const char *const *env; /* name, value, … on top of the release's; may be NULL */
        uint16_t rows, columns;
} DynoCommand;

/* The sealed spec of @dyno for @command. Return: 0, -E2BIG, or a negative errno. */
int dyno_make_spec(
        const Dyno *dyno, const Release *release, const DynoCommand *command, int *ret_fd)
        _must_check_;

/* ---- dyno_file.c: the state file ---- */

/* A failure is logged: the dyno goes on, a restart of dynod may then see old facts. */
void dyno_file_write(const Dyno *dyno);
void dyno_file_remove(const Manager *manager, const char *id);
/* Makes a Dyno of every file, and removes files of apps that are gone. Return: 0 or a negative errno. */
int dyno_files_load(Manager *manager) _must_check_;

/* ---- dyno_memory.c ---- */

/* Reads memory and CPU time of a living dyno. */
void dyno_read_usage(Dyno *dyno);
/* Of one core, over the last one or two samples; -1 while too little is known. */
double dyno_cpu_percent(const Dyno *dyno);
/* From here on it is measured: at every sample, and when the dyno starts or is adopted. */
void dyno_mark_cpu(Dyno *dyno);
/* Every DYNO_SAMPLE_USEC: R14. */
void dyno_sample_all(Manager *manager);
#define DYNO_SAMPLE_USEC (20 * USEC_PER_SEC) /* as Heroku's log-runtime-metrics */
