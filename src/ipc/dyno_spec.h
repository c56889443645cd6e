/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a dyno is to run: the sealed memfd from the supervisor to dyno-init.
 *
 * Root checks the seals and the size, and hands the descriptor on unread; dyno-init
 * parses it inside the dyno, as the dyno's user. A DynoSpecHeader is followed by
 * NUL-terminated strings: the arguments first, then the environment as NAME=value.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define DYNO_SPEC_MAGIC UINT32_C(0x44595350) /* "DYSP" */
#define DYNO_SPEC_MAX 262144                 /* 256 KiB, all together: the contract */
#define DYNO_SPEC_STRINGS_MAX 4096           /* arguments and variables, each */

#define DYNO_SPEC_SHELL (UINT32_C(1) << 0) /* one argument, for bash -c after the profile scripts */
#define DYNO_SPEC_TTY (UINT32_C(1) << 1)   /* make a terminal and send its master end */
#define DYNO_SPEC_ATTACH (UINT32_C(1) << 2) /* standard streams go to the attach socket */
#define DYNO_SPEC_EXEC (UINT32_C(1) << 3)   /* this is `ps:exec`: not PID 1, no log lines */
#define DYNO_SPEC_FLAGS_ALL (DYNO_SPEC_SHELL | DYNO_SPEC_TTY | DYNO_SPEC_ATTACH | DYNO_SPEC_EXEC)

typedef struct DynoSpecHeader {
        uint32_t magic;
        uint32_t flags;  /* DYNO_SPEC_*; TTY and EXEC need ATTACH */
        uint32_t n_args; /* at least 1 */
        uint32_t n_env;
        uint32_t web_port;      /* 0: not a web dyno */
        uint16_t rows, columns; /* of the terminal */
        uint32_t strings_size;  /* bytes behind the header */
        uint32_t reserved;
} DynoSpecHeader;

typedef struct DynoSpec {
        DynoSpecHeader header;
        char **args; /* NULL-terminated; the strings are the buffer's */
        char **env;  /* NULL-terminated */
} DynoSpec;

/**
 * dyno_spec_write() - make the sealed memfd
 * @ret_fd:   a memfd with all four seals; owned by the caller
 * @header:   flags, web_port, rows and columns are used
 * @args:     NULL-terminated
 * @env:      NULL-terminated NAME=value, NAME being [A-Za-z_][A-Za-z0-9_]*
 *
 * Return: 0, -E2BIG if it does not fit into DYNO_SPEC_MAX, -EINVAL if dyno-init would
 * refuse it (flags, no or empty first argument, a variable's name), or a negative errno.
 */
int dyno_spec_write(int *ret_fd, const DynoSpecHeader *header, char *const *args, char *const *env)
        _must_check_;

/**
 * dyno_spec_check_fd() - the root process's check: a memfd, all seals, size in range
 * @fd:  received descriptor
 *
 * Reads no byte of it.
 *
 * Return: 0, -EBADMSG, or a negative errno.
 */
int dyno_spec_check_fd(int fd) _must_check_;

/**
 * dyno_spec_parse() - parse in place
 * @ret:   filled; args and env are one allocation, release with dyno_spec_clear()
 * @buf:   the whole memfd's contents; must outlive @ret
 * @size:  bytes in @buf
 *
 * Return: 0, -EBADMSG if anything is off by a byte, or -ENOMEM.
 */
int dyno_spec_parse(DynoSpec *ret, char *buf, size_t size) _must_check_;
void dyno_spec_clear(DynoSpec *spec);
