/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What dynod-unpacker tells the supervisor, and how its parts agree on a refusal.
 *
 * A part that refuses calls report_refuse() and hands its -EBADMSG up unchanged; main()
 * sends it. Any other negative errno is trouble of ours or of the disk.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "ipc/unpack_proto.h"

typedef struct UnpackReport {
        int fd;              /* SOCK_SEQPACKET, or -EBADF */
        uint64_t next_usec;  /* when the next progress is due */
        UnpackCounts counts; /* kept by all parts */
        UnpackMessage refusal;
} UnpackReport;

void report_init(UnpackReport *report, int fd);

/* Says how far we are, ten times a second at most; left out if the reader is behind. */
void report_progress(UnpackReport *report);

/* Waits for the client's archive, UnpackArchive. Return: 0 or a negative errno. */
int report_receive_archive(UnpackReport *report, int *ret_fd) _must_check_;

/* Waits for the reader. Return: 0 or a negative errno; a reader that is gone is 0. */
int report_process(UnpackReport *report, const char *type, const char *command) _must_check_;
int report_done(UnpackReport *report) _must_check_;

/**
 * report_refuse() - remember why the archive is refused; the first reason stays
 * @report:  report
 * @reason:  why
 * @error:   negative errno that goes with it, or 0
 * @text:    the entry's name or the line, any bytes; may be NULL
 * @size:    bytes in @text
 *
 * Return: -EBADMSG, always.
 */
int report_refuse(
        UnpackReport *report, UnpackReason reason, int error, const char *text, size_t size);

/* Sends what is refused; @r is what the work returned, and decides where nothing was remembered. */
int report_refused(UnpackReport *report, int r) _must_check_;
