/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * LaunchClient: the supervisor's end of the channel to the launcher. Sends requests,
 * queues what does not fit, finds the callback of each reply. The launcher is root,
 * yet its messages are checked like anybody's.
 */

#include <systemd/sd-event.h>

#include "ipc/channel.h"
#include "ipc/launch_proto.h"

typedef struct LaunchClient LaunchClient;

/*
 * An answer to a request: LAUNCH_REPLY, LAUNCH_STARTED, … as the protocol says. Called
 * once, unless the request is forgotten before.
 */
typedef void (*LaunchDone)(const LaunchMessage *msg, void *userdata);

typedef struct LaunchHandler {
        /* An event: HELLO, LOGGER, DYNO, READY, BOUND, EXITED, RELOADED. Takes what it wants of @fds. */
        int (*event)(const LaunchMessage *msg, ChannelFds *fds, void *userdata);
        /* The launcher is gone. */
        void (*closed)(void *userdata);
        void *userdata;
} LaunchHandler;

/**
 * launch_client_new() - take over the channel
 * @ret:      owned by the caller
 * @event:    the loop; a reference is taken
 * @fd:       owned by the client on success only
 * @handler:  copied
 *
 * Return: 0 or a negative errno.
 */
int launch_client_new(LaunchClient **ret, sd_event *event, int fd, const LaunchHandler *handler)
        _must_check_;
LaunchClient *launch_client_free(LaunchClient *client);
DEFINE_CLEANUP(LaunchClient, launch_client_free)

/* The descriptors that go with a request: owned by the callee in any case. */
typedef struct LaunchFds {
        int fd[2];
        size_t n;
} LaunchFds;

/**
 * launch_client_send() - send a request
 * @client:    the client
 * @msg:       of a request type; its header.seq is set here
 * @fds:       may be NULL
 * @done:      called with the answer; NULL if nobody is interested
 * @userdata:  for @done, and for launch_client_forget()
 *
 * Return: 0 or a negative errno, then @done is not called.
 */
int launch_client_send(
        LaunchClient *client,
        LaunchMessage *msg,
        const LaunchFds *fds,
        LaunchDone done,
        void *userdata) _must_check_;

/*
 * The same for what a client waits for: if we end first, @done gets a REPLY of -ENOTCONN.
 * It must not send anything then.
 */
int launch_client_ask(
        LaunchClient *client,
        LaunchMessage *msg,
        const LaunchFds *fds,
        LaunchDone done,
        void *userdata) _must_check_;

/* The answers to all requests with @userdata are nobody's business any more. */
void launch_client_forget(LaunchClient *client, void *userdata);
