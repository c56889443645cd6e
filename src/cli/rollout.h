/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an import, a deploy and a rollback have in common: a file that is read, a release
 * that is made, dynos that start, each with a line of its own.
 */

#include "cli/command.h"

typedef enum RolloutKind {
        ROLLOUT_IMPORT, /* stacks:import */
        ROLLOUT_DEPLOY,
        ROLLOUT_ROLLBACK,
} RolloutKind;

typedef struct Rollout {
        Invocation *invocation;
        RolloutKind kind;
        const char *file; /* as shown: "slug.tgz" */
        uint64_t size;    /* bytes of the file, 0: unknown */
        uint32_t release; /* that a rollback asks for, 0: the one before */
} Rollout;

/* Sends @message, which starts the job, and follows it. Return: exit status, or -1 with @reterr. */
int rollout_run(Rollout *rollout, sd_bus_message *message, Failure *reterr);

/**
 * rollout_open() - open FILE for an import
 * @rollout:  file and size are set
 * @path:     "-" for standard input
 * @ret_fd:   owned by the caller
 * @reterr:   filled on failure
 *
 * Return: 0 or -1 with @reterr filled.
 */
int rollout_open(Rollout *rollout, const char *path, int *ret_fd, Failure *reterr);
