/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* bpf(2), which the C library does not have. */

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int bpf_call(int command, union bpf_attr *attr) {
        int r = (int)syscall(SYS_bpf, command, attr, sizeof(*attr));

        return r < 0 ? -errno : r;
}

static inline uint64_t bpf_pointer(const void *p) {
        return (uint64_t)(uintptr_t)p;
}
