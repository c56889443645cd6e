/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The text of a seccomp policy (profiles/seccomp-dyno.policy has its grammar), parsed.
 *
 * Pure: no system call, no libseccomp. Names are checked by whoever compiles.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define POLICY_VALUES_MAX 8
#define POLICY_CONDITIONS_MAX 3
#define POLICY_NAME_SIZE 32
#define POLICY_RULES_MAX 512

typedef enum PolicyOp {
        POLICY_IN,     /* the argument is one of the values */
        POLICY_NOT_IN, /* … none of the values */
        POLICY_ANY_OF, /* … has a bit of the first value */
        POLICY_FROM,   /* … is the first value, the second one, or between them */
} PolicyOp;

/* Compares the low 32 bits of an argument: all that the kernel looks at unless it is an address. */
typedef struct PolicyCondition {
        uint32_t arg; /* 0 to 5 */
        bool high;    /* compares the other 32 bits */
        PolicyOp op;
        uint32_t values[POLICY_VALUES_MAX];
        size_t n_values;
} PolicyCondition;

typedef struct PolicyRule {
        char name[POLICY_NAME_SIZE]; /* of the system call */
        int error; /* errno to refuse with; 0: allowed, or with conditions: "done", doing nothing */
        PolicyCondition conditions[POLICY_CONDITIONS_MAX];
        size_t n_conditions;
        unsigned line;
} PolicyRule;

typedef struct Policy {
        int default_error; /* errno for calls without a rule; 0: allowed */
        int arch_error;    /* errno for other architectures and x32; 0: the process is killed */
        PolicyRule rules[POLICY_RULES_MAX];
        size_t n_rules;
} Policy;

typedef struct PolicyError {
        unsigned line;
        const char *text; /* static */
} PolicyError;

/**
 * policy_parse() - parse a policy
 * @text:    NUL-terminated
 * @ret:     filled; large, so give it static or allocated storage
 * @reterr:  filled on -EINVAL
 *
 * Return: 0 or -EINVAL.
 */
int policy_parse(const char *text, Policy *ret, PolicyError *reterr) _must_check_;
