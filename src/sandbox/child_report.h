/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * From the child on its way into a dyno to the launcher: one record per pipe write.
 *
 * The child is our own code until it executes dyno-init, which closes the pipe: a
 * READY record and then end of file is a success, everything else a failure.
 */

#include <stdint.h>

#include "sandbox/sandbox.h"

typedef enum ChildReportType {
        CHILD_READY = 1, /* all layers taken on, exec comes next */
        CHILD_FAILED,    /* @error */
} ChildReportType;

typedef struct ChildReport {
        uint32_t type; /* ChildReportType */
        uint32_t reserved;
        uint64_t clone_usec, rootfs_usec, confine_usec; /* CLOCK_BOOTTIME, when it was done */
        SandboxError error;
} ChildReport;

/* Writes one record. Best effort: without it the launcher sees the end of the pipe. */
void child_report_send(int fd, const ChildReport *report);

/**
 * child_report_receive() - read the next record
 * @fd:   pipe, non-blocking
 * @ret:  the record
 *
 * Return: 1, 0 at the end of the pipe, -EAGAIN, -EPROTO, or another negative errno.
 */
int child_report_receive(int fd, ChildReport *ret) _must_check_;
