/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Import: one archive on its way into the store. The launcher has it fetched, hashed and
 * extracted by sandboxed processes; here the order is kept, the checksum compared and
 * the reports of the unpacker are read, which has seen a hostile archive.
 */

#include "supervisor/manager_internal.h"

/* The import ended. @error: NULL if it went well. It is freed after this returns. */
typedef void (*ImportDone)(Import *import, const ManagerError *error, void *userdata);
/* Some more was read or unpacked. */
typedef void (*ImportProgress)(Import *import, void *userdata);
/*
 * It was unpacked and is committed next: the time to store what must be known of
 * anything that is committed. A negative errno gives it up.
 */
typedef int (*ImportExtracted)(Import *import, void *userdata);

typedef struct ImportEvents {
        ImportProgress progress;   /* may be NULL */
        ImportExtracted extracted; /* may be NULL */
        ImportDone done;
        void *userdata;
} ImportEvents;

/**
 * import_start() - bring an archive into the store
 * @ret:      borrowed until @done was called; import_free() cancels it
 * @manager:  the manager
 * @kind:     what it is
 * @request:  fd, size, checksum and file are used; the fd is owned by the callee in any case
 * @events:   copied
 * @reterr:   filled on MANAGER_E_REFUSED
 *
 * Return: 0, then done is called once and never before this has returned,
 * MANAGER_E_REFUSED or a negative errno.
 */
int import_start(
        Import **ret,
        Manager *manager,
        ObjectKind kind,
        const ImportRequest *request,
        const ImportEvents *events,
        ManagerError *reterr) _must_check_;

/**
 * import_restore() - extract an object again from the store's own archive
 *
 * As import_start(). import_result() says how it ended; -EEXIST: it is there.
 */
int import_restore(
        Import **ret,
        Manager *manager,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        ImportDone done,
        void *userdata) _must_check_;

/* Cancels what is under way. Return: NULL. */
Import *import_free(Import *import);

Import *import_next(const Import *import); /* of the manager's list */
ObjectKind import_kind(const Import *import);
int import_result(const Import *import); /* 0 or a negative errno */
const uint8_t *import_digest(const Import *import);
/* A restore: the digest of the archive as it is; zeroes: nobody knows. */
const uint8_t *import_found(const Import *import);
bool import_already(const Import *import); /* nothing had to be unpacked */
bool import_is_read(const Import *import); /* the client's part is over */
const UnpackCounts *import_counts(const Import *import);
const Pairs *import_processes(const Import *import); /* of the Procfile */
uint64_t import_total(const Import *import);         /* bytes of the archive; 0: unknown */

/* What was changed while unpacking, a line each. Return: 0 or -ENOMEM. */
int import_notes(const UnpackCounts *counts, Strings *ret) _must_check_;

/* ---- import_error.c ---- */

typedef struct ImportRefusal {
        UnpackReason reason;
        uint32_t error, line;
        const char *text; /* cleaned */
        const char *file; /* "slug.tgz" */
        ObjectKind kind;
} ImportRefusal;

/* Words for what the unpacker refused. */
void import_refuse(const Config *config, const ImportRefusal *refusal, ManagerError *reterr);
