/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The client's end of the control socket: calls, and jobs that report by signals.
 *
 * No call waits on a timeout of the bus: the daemon answers at once, and what takes
 * long is a job.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"
#include "cli/output.h"

typedef struct Client Client;

/**
 * client_connect() - connect to the daemon
 * @ret:     owned by the caller, release with client_free()
 * @path:    of the socket; NULL: DYNOD_SOCKET, else DYNOD_SOCKET_PATH
 * @reterr:  filled on failure
 *
 * Return: 0 or a negative errno.
 */
int client_connect(Client **ret, const char *path, Failure *reterr) _must_check_;

/* As client_connect(), on a connected socket, which the client owns from now on. For tests. */
int client_new(Client **ret, int fd, Failure *reterr) _must_check_;

Client *client_free(Client *client);
DEFINE_CLEANUP(Client, client_free)

/* A call that is not sent yet. */
int client_message(Client *client, sd_bus_message **ret, const char *method) _must_check_;

/**
 * client_send() - send a call and wait for the answer
 * @client:   the client
 * @message:  made by client_message()
 * @ret:      the answer, owned by the caller
 * @reterr:   filled on failure
 *
 * Return: 0 or a negative errno.
 */
int client_send(Client *client, sd_bus_message *message, sd_bus_message **ret, Failure *reterr)
        _must_check_;

/* Calls @method with arguments as of sd_bus_message_append(); @ret: its first value, as JSON. */
int client_call(
        Client *client,
        struct json_object **ret,
        Failure *reterr,
        const char *method,
        const char *types,
        ...) _must_check_;

/* Progress of a job: facts of include/dynod/bus.h. */
typedef void (*JobProgressHandler)(struct json_object *facts, void *userdata);

typedef struct JobWait {
        JobProgressHandler progress; /* or NULL */
        void *userdata;
        const char *until_phase; /* return when this phase is reached, or NULL */
} JobWait;

enum {
        _JOB_E_OK,

        JOB_E_INTERRUPTED, /* SIGINT; the job may go on */
        JOB_E_PHASE,       /* until_phase was reached; the result is that phase's facts */
};

/**
 * client_run_job() - send a call that starts a job, and wait until it is done
 * @client:   the client
 * @message:  made by client_message()
 * @wait:     what to do meanwhile; NULL: nothing
 * @ret:      the result's facts, owned by the caller; also set when the job failed
 * @reterr:   filled on failure
 *
 * Return: 0, JOB_E_INTERRUPTED, JOB_E_PHASE, or a negative errno with @reterr filled.
 */
int client_run_job(
        Client *client,
        sd_bus_message *message,
        const JobWait *wait,
        struct json_object **ret,
        Failure *reterr) _must_check_;
