/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Strict parsers for numbers, sizes and times: the whole string or nothing, no
 * sign, no leading space, no locale.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_INFINITY UINT64_MAX

#define DIGEST_SIZE 32                         /* bytes of a SHA-256 */
#define DIGEST_TEXT_SIZE (2 * DIGEST_SIZE + 1) /* lower-case hex and a NUL */

/* Each returns 0, -EINVAL (not of that form) or -ERANGE; *ret is set on success only. */
int parse_u64(const char *text, uint64_t *ret) _must_check_;
int parse_u32(const char *text, uint32_t *ret) _must_check_;
int parse_bool(const char *text, bool *ret) _must_check_; /* yes/no, true/false, on/off, 1/0 */
int parse_size(const char *text, uint64_t *ret_bytes)
        _must_check_; /* 512M, 4G, 100K: powers of 1024 */
int parse_duration(const char *text, uint64_t *ret_usec)
        _must_check_; /* 90s, 10m, 1h30m, 500ms, 2d; bare: s */
int parse_ipv4(const char *text, struct in_addr *ret) _must_check_;
/* "10.0.0.0/8"; a bare address is /32; host bits must be zero. */
int parse_ipv4_net(const char *text, struct in_addr *ret, uint8_t *ret_prefix) _must_check_;
/* "SHA256:<64 hex>" or the bare hex, in any case. */
int parse_digest(const char *text, uint8_t ret[DIGEST_SIZE]) _must_check_;

void format_digest(const uint8_t digest[DIGEST_SIZE], char ret[DIGEST_TEXT_SIZE]);

/* Microseconds now. CLOCK_BOOTTIME for intervals, CLOCK_REALTIME for people. */
uint64_t clock_boottime_usec(void);
uint64_t clock_realtime_usec(void);
