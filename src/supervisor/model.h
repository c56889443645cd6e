/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the store keeps, as structs: stacks, slugs, releases. An App with its current
 * release stays in memory (supervisor/app.h), so that no start reads the disk; older
 * releases are read when somebody asks.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/names.h"
#include "base/parse.h"
#include "supervisor/pairs.h"

#define USER_NAME_SIZE 64 /* of the passwd entry; a longer name is cut in texts */

typedef struct Stack {
        struct Stack *next;
        char name[STACK_NAME_SIZE];
        uint32_t version; /* from 1 */
        uint8_t digest[DIGEST_SIZE];
        uint64_t bytes, files; /* unpacked */
        uint64_t imported_usec;
} Stack;

typedef struct Slug {
        uint8_t digest[DIGEST_SIZE];
        uint64_t bytes, files; /* unpacked */
        uint64_t imported_usec;
        Pairs processes; /* of its Procfile; may be empty */
} Slug;

typedef struct Release {
        uint32_t number; /* from 1 */
        char *description;
        char user[USER_NAME_SIZE];
        uint64_t created_usec;
        bool has_slug;
        uint8_t slug[DIGEST_SIZE];
        uint64_t slug_bytes;

        /* of its stack; version 0 while there is no slug */
        char stack[STACK_NAME_SIZE];
        uint32_t stack_version;
        uint8_t stack_digest[DIGEST_SIZE];

        Pairs processes; /* type, command */
        Pairs config;
} Release;

Release *release_free(Release *release);
DEFINE_CLEANUP(Release, release_free)

void slug_clear(Slug *slug);

/* What `ps:scale` asked for. */
typedef struct Formation {
        struct Formation *next;
        char type[PROCESS_TYPE_SIZE];
        uint32_t quantity;
        char size[SIZE_NAME_SIZE]; /* empty: the default */
} Formation;
