/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Job: one long request of a client. What it waits for is looked at whenever a dyno
 * changes, from a source of the loop of its own, so that no report is ever sent from
 * within the call that made the job.
 */

#include "supervisor/import.h"
#include "supervisor/manager_internal.h"

#define JOBS_PER_UID_MAX 32 /* under way at once: a shell loop of a user must not fill memory */

typedef enum JobWait {
        JOB_WAIT_IMPORT,   /* the import calls job_finish() or goes on */
        JOB_WAIT_LAUNCHED, /* no start of the app is under way any more */
        JOB_WAIT_UP,       /* all of the app's formation is up on its release */
        JOB_WAIT_GONE,     /* the dynos of @ids have no process */
        JOB_WAIT_DONE,     /* to be reported */
} JobWait;

struct Job {
        Job *next;
        Manager *manager;
        uint32_t id;
        uid_t uid;
        char user[USER_NAME_SIZE];
        const JobEvents *events; /* NULL: the client is gone */
        void *userdata;
        uint64_t started_usec, deadline_usec; /* CLOCK_BOOTTIME; deadline 0: none */

        JobWait wait;
        App *app; /* NULL: not about one, or it is gone */
        char app_name[APP_NAME_SIZE];
        uint32_t max_crashes; /* WAIT_UP: so many on this release are a failure */
        bool is_deploy;
        Strings ids, names; /* WAIT_GONE: of the dynos; names also for the result */
        uint64_t last_done; /* as last reported */
        uint64_t
                recheck_usec; /* CLOCK_BOOTTIME, WAIT_UP: some dyno is up since too short; 0: none */
        void (*gone)(Job *job); /* WAIT_GONE: before it is done; may be NULL */

        Import *import;
        ObjectKind kind;
        char stack_name[STACK_NAME_SIZE];
        Pairs processes; /* --process TYPE=CMD */

        /* the result */
        bool failed;
        ManagerError error;
        JobResult result;
        Stack stack;
        StackInfo stack_info;
        char digest[DIGEST_TEXT_SIZE];
        Strings notes, config, changed;
        bool with_formation;      /* the result has the app's formation */
        FormationInfo *formation; /* made when it is reported: its strings are the app's */
        char dyno[DYNO_NAME_SIZE], dyno_id[DYNO_ID_SIZE], code[8];
};

/* Return: 0, MANAGER_E_REFUSED (LIMIT) or -ENOMEM. @app may be NULL. */
int job_new(
        Job **ret, Manager *manager, const ManagerClient *client, App *app, ManagerError *reterr)
        _must_check_;
Job *job_free(Job *job);

/* It went well; reported soon. */
void job_finish(Job *job);
/* It failed, with job->error filled. */
void job_fail(Job *job);
/* From now on it waits for @wait. */
void job_wait(Job *job, JobWait wait);
void job_report_progress(Job *job, const JobProgress *progress);

/* Something changed that a job may wait for. */
void jobs_poke(Manager *manager);
/* The app is about to go: its jobs end. */
void jobs_forget_app(Manager *manager, const App *app, const Job *except);
/* When the next deadline of a job is; UINT64_MAX for none. */
uint64_t jobs_deadline(const Manager *manager);
/* The callback of jobs_source. */
int jobs_dispatch(sd_event_source *source, void *userdata);
