/* SPDX-License-Identifier: Apache-2.0 */

/* Why an archive was refused, in words: what, why, what was not changed. */

#include <string.h>

#include "supervisor/import.h"

typedef struct ReasonText {
        const char *error; /* DYNOD_ERROR_* */
        const char *text;  /* behind the file's name */
        bool named;        /* the entry follows */
} ReasonText;

static const ReasonText reason_texts[_UNPACK_REASON_MAX] = {
        [UNPACK_NOT_AN_ARCHIVE] =
                {DYNOD_ERROR_BAD_ARCHIVE, "is not a tar archive, plain or gzip, xz, zstd", false},
        [UNPACK_CORRUPT] = {DYNOD_ERROR_BAD_ARCHIVE, "is truncated or damaged", false},
        [UNPACK_NAME_DOTDOT] = {DYNOD_ERROR_BAD_ARCHIVE, "has an entry with .. in its name", true},
        [UNPACK_NAME_NUL] = {DYNOD_ERROR_BAD_ARCHIVE, "has an entry with a NUL in its name", true},
        [UNPACK_NAME_TOO_LONG] =
                {DYNOD_ERROR_BAD_ARCHIVE, "has an entry whose name is too long", true},
        [UNPACK_HARDLINK_OUTSIDE] =
                {DYNOD_ERROR_BAD_ARCHIVE,
                 "has a hard link to no earlier entry of the archive",
                 true},
        [UNPACK_THROUGH_LINK] =
                {DYNOD_ERROR_BAD_ARCHIVE, "has an entry that passes through a link", true},
        [UNPACK_STACK_DIR_IS_LINK] =
                {DYNOD_ERROR_BAD_ARCHIVE,
                 "has a link or a file where a stack needs a folder",
                 true},
        [UNPACK_SLUG_APP_IS_LINK] =
                {DYNOD_ERROR_BAD_ARCHIVE, "has a link where a slug needs the folder app", true},
        [UNPACK_SPECIAL_FILE] =
                {DYNOD_ERROR_BAD_ARCHIVE, "has a device, socket or FIFO outside /dev", true},
        [UNPACK_TOO_MANY_ENTRIES] = {DYNOD_ERROR_BAD_ARCHIVE, "has too many entries", false},
        [UNPACK_TOO_LARGE] = {DYNOD_ERROR_BAD_ARCHIVE, "is too large", false},
        [UNPACK_RATIO] =
                {DYNOD_ERROR_BAD_ARCHIVE,
                 "unpacks to far more than it is: the ratio is over the limit",
                 false},
        [UNPACK_NO_ROOM] = {DYNOD_ERROR_NO_ROOM, "does not fit", false},
};

static const char *unchanged(ObjectKind kind) {
        return kind == OBJECT_STACK ? "Nothing was imported." : "Nothing was changed.";
}

static void refuse_procfile(const ImportRefusal *refusal, ManagerError *reterr) {
        const char *text = refusal->text;

        if (refusal->line == 0)
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_BAD_PROCFILE,
                        "%s: its Procfile is not usable: %.150s. Nothing was changed.",
                        refusal->file,
                        text);
        else if (!strchr(text, ':'))
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_BAD_PROCFILE,
                        "%s line %u of Procfile: \"%.150s\" has no colon. Write: TYPE: COMMAND, "
                        "such "
                        "as web: gunicorn app. Nothing was changed.",
                        refusal->file,
                        refusal->line,
                        text);
        else
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_BAD_PROCFILE,
                        "%s line %u of Procfile: \"%.150s\" is not TYPE: COMMAND with a type of "
                        "letters, digits, - and _, each type once. Nothing was changed.",
                        refusal->file,
                        refusal->line,
                        text);
}

static void refuse_limit(const Config *config, const ImportRefusal *refusal, ManagerError *reterr) {
        unsigned long long bytes =
                refusal->kind == OBJECT_STACK ? config->stack_max_bytes : config->slug_max_bytes;

        if (refusal->reason == UNPACK_TOO_LARGE)
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_BAD_ARCHIVE,
                        "%s is too large: the limit is %llu MB unpacked. %s",
                        refusal->file,
                        bytes >> 20,
                        unchanged(refusal->kind));
        else
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_BAD_ARCHIVE,
                        "%s has too many entries: the limit is %llu. %s",
                        refusal->file,
                        (unsigned long long)config->import_max_entries,
                        unchanged(refusal->kind));
}

void import_refuse(const Config *config, const ImportRefusal *refusal, ManagerError *reterr) {
        const ReasonText *reason = &reason_texts[refusal->reason];

        if (refusal->reason == UNPACK_PROCFILE) {
                refuse_procfile(refusal, reterr);
        } else if (
                refusal->reason == UNPACK_TOO_LARGE || refusal->reason == UNPACK_TOO_MANY_ENTRIES) {
                refuse_limit(config, refusal, reterr);
        } else if (refusal->reason == UNPACK_NO_ROOM) {
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_NO_ROOM,
                        "No room in %s for %s. What was there is as it was. %s",
                        config->state_dir,
                        refusal->file,
                        unchanged(refusal->kind));
        } else if (!reason->error) {
                (void)refuse(
                        reterr,
                        DYNOD_ERROR_FAILED,
                        "%s cannot be unpacked: %s. %s",
                        refusal->file,
                        refusal->error ? strerrordesc_np((int)refusal->error) : "the unpacker died",
                        unchanged(refusal->kind));
        } else if (reason->named && refusal->text[0]) {
                (void)refuse(
                        reterr,
                        reason->error,
                        "%s %s: \"%.200s\". %s",
                        refusal->file,
                        reason->text,
                        refusal->text,
                        unchanged(refusal->kind));
        } else {
                (void)refuse(
                        reterr,
                        reason->error,
                        "%s %s. %s",
                        refusal->file,
                        reason->text,
                        unchanged(refusal->kind));
        }
}
