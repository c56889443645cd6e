/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where D-Bus messages begin and end in a client's stream: first lines up to BEGIN, then
 * messages with a fixed header that holds their length. Pure: knows no descriptor.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define FRAMING_LINES_MAX 1024                   /* bytes of the line protocol; 60 are usual */
#define FRAMING_HEADER_SIZE 16                   /* of a message, up to the length of its fields */
#define FRAMING_START_MAX 1024                   /* of a message, kept: a call's fields take 150 */
#define FRAMING_MESSAGE_MAX ((size_t)512 * 1024) /* bytes: twice all config vars that fit a dyno */

typedef struct Framing {
        size_t lines;   /* bytes of the line protocol so far; SIZE_MAX behind it */
        size_t matched; /* bytes of the line BEGIN that the last ones are */
        uint8_t header[FRAMING_HEADER_SIZE];
        size_t header_have;
        size_t left;                      /* of the message whose header is complete */
        uint8_t start[FRAMING_START_MAX]; /* of the current message, or of the last one */
        size_t start_have;
} Framing;

/* How many bytes the current message still has; 0 in the line protocol: peek, and ask below. */
size_t framing_want(const Framing *framing);

/* Whether what was taken ends with a message: the next byte is of another one. */
bool framing_is_between(const Framing *framing);

/* How many of the @size bytes that were peeked at belong to the line protocol; at least 1. */
size_t framing_peek(const Framing *framing, const char *data, size_t size);

/* Takes bytes that were read, as many as wanted or fewer. Return: 0 or -EBADMSG. */
int framing_take(Framing *framing, const char *data, size_t size) _must_check_;
