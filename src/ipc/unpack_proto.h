/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * dynod-unpacker -> its readers.
 *
 * A sandboxed process that has seen a hostile archive speaks here, so the reader takes
 * every field as a tenant's. UnpackMessage goes to the supervisor over a SOCK_SEQPACKET
 * socket; FetchRecord, from the process that only copies and hashes, goes to the
 * launcher over a pipe.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/names.h"
#include "base/parse.h"

typedef struct FetchRecord {
        uint64_t bytes;
        uint8_t digest[DIGEST_SIZE];
} FetchRecord;

typedef enum UnpackType {
        UNPACK_PROGRESS = 1,
        UNPACK_PROCESS, /* one line of the Procfile */
        UNPACK_DONE,
        UNPACK_REFUSED,
        _UNPACK_TYPE_MAX,
} UnpackType;

typedef enum UnpackReason {
        UNPACK_OK,
        UNPACK_NOT_AN_ARCHIVE,
        UNPACK_CORRUPT,     /* truncated or damaged */
        UNPACK_NAME_DOTDOT, /* entry: a name with .. */
        UNPACK_NAME_NUL,
        UNPACK_NAME_TOO_LONG,
        UNPACK_HARDLINK_OUTSIDE,  /* a hard link to anything but an earlier entry */
        UNPACK_THROUGH_LINK,      /* the path passes through a link of the archive */
        UNPACK_STACK_DIR_IS_LINK, /* /dev, /proc, … of a stack */
        UNPACK_SLUG_APP_IS_LINK,
        UNPACK_SPECIAL_FILE, /* device, socket or FIFO not below /dev */
        UNPACK_TOO_MANY_ENTRIES,
        UNPACK_TOO_LARGE,
        UNPACK_RATIO,
        UNPACK_PROCFILE, /* @line of the Procfile; @text quotes it */
        UNPACK_NO_ROOM,  /* ENOSPC or EDQUOT */
        UNPACK_INTERNAL, /* @error */
        _UNPACK_REASON_MAX,
} UnpackReason;

typedef struct UnpackCounts {
        uint64_t archive_bytes; /* read so far */
        uint64_t tree_bytes;    /* written so far */
        uint64_t entries;       /* extracted so far */
        uint64_t absolute;      /* names whose leading / was dropped */
        uint64_t mode_bits;     /* setuid, setgid, sticky cleared */
        uint64_t xattrs;        /* entries whose xattrs or ACLs were dropped */
        uint64_t devices;       /* skipped below /dev */
        uint64_t outside_app;   /* slug with ./app/: entries outside, ignored */
        uint64_t replaced;      /* stack: links where a folder or file must be, to mount over */
} UnpackCounts;

#define UNPACK_TEXT_SIZE 4096

typedef struct UnpackMessage {
        uint32_t type;   /* UnpackType */
        uint32_t reason; /* UnpackReason, in REFUSED */
        uint32_t error;  /* positive errno, in REFUSED */
        uint32_t line;   /* of the Procfile */
        UnpackCounts counts;
        char process[PROCESS_TYPE_SIZE]; /* PROCESS: its type */
        char text
                [UNPACK_TEXT_SIZE]; /* PROCESS: its command. REFUSED: the entry's name or the line, UTF-8, cut */
} UnpackMessage;

#define UNPACK_ARCHIVE_MAGIC UINT32_C(0x64796e61) /* "dyna" */

/*
 * Supervisor -> fetching process, with the client's descriptor. Root never has it: it may
 * lie on a file system of the client's own (FUSE), where even close(2) waits for ever.
 */
typedef struct UnpackArchive {
        uint32_t magic; /* UNPACK_ARCHIVE_MAGIC */
} UnpackArchive;

/* The descriptors and arguments of dynod-unpacker, see image/unpacker.c. */
#define UNPACK_FD_ARCHIVE                                                                          \
        3 /* the store's copy, read-only; closed: UnpackArchive comes by UNPACK_FD_REPORT */
#define UNPACK_FD_OUT                                                                              \
        4 /* fetch: the store's copy, to be written. extract, remove: the target folder */
#define UNPACK_FD_REPORT 5 /* SOCK_SEQPACKET to the supervisor */
#define UNPACK_FD_RECORD 6 /* fetch: pipe to the launcher, one FetchRecord */
