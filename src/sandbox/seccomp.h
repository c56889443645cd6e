/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Seccomp filters: compiled once from their policy files, loaded in every dyno.
 *
 * libseccomp makes the part that depends on the call's number alone (a binary tree,
 * which the kernel turns into a bitmap). Refusals that depend on arguments stand in front
 * of it: libseccomp cannot say "all but this value", and compares 64 bits where the kernel
 * looks at 32.
 */

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/seccomp_policy.h"

#define SECCOMP_DYNO_POLICY "seccomp-dyno.policy"   /* in config's data_dir */
#define SECCOMP_DYNOD_POLICY "seccomp-dynod.policy" /* in config's data_dir */
#define SECCOMP_ID_SIZE 7                           /* six hex digits */

typedef struct SeccompFilter {
        struct sock_filter *code; /* owned */
        unsigned short n_code;
        char id[SECCOMP_ID_SIZE]; /* short hash of the code, to tell filters apart by eye */
} SeccompFilter;

typedef struct SeccompError {
        char text[128]; /* one line: "FILE:LINE: …" */
} SeccompError;

/**
 * seccomp_filter_compile() - compile a policy for the native architecture
 * @policy:  parsed policy
 * @ret:     release with seccomp_filter_clear()
 * @reterr:  filled on failure
 *
 * Return: 0, -EINVAL for a policy that makes no sense, or a negative errno.
 */
int seccomp_filter_compile(const Policy *policy, SeccompFilter *ret, SeccompError *reterr)
        _must_check_;

/* Reads, parses and compiles @name in the folder @dir. As above. */
int seccomp_filter_read(const char *dir, const char *name, SeccompFilter *ret, SeccompError *reterr)
        _must_check_;

/* Loads a filter into this process, for good. Needs no_new_privs or CAP_SYS_ADMIN. */
int seccomp_filter_load(const SeccompFilter *filter) _must_check_;

void seccomp_filter_clear(SeccompFilter *filter);
