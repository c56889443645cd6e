/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * 1 where filters are really loaded. A sanitizer's runtime needs calls (ptrace,
 * personality, new threads) that no filter of ours allows, so such a build only builds
 * them. Never 0 in anything that is installed.
 */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE_LOADS_FILTER 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) ||                         \
        __has_feature(thread_sanitizer)
#define CONFINE_LOADS_FILTER 0
#else
#define CONFINE_LOADS_FILTER 1
#endif
#else
#define CONFINE_LOADS_FILTER 1
#endif
