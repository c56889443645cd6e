/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/seccomp_policy.h"

#define POLICY_LINE_SIZE 1024
#define POLICY_WORDS_MAX 64

typedef struct Line {
        char buffer[POLICY_LINE_SIZE];
        char *words[POLICY_WORDS_MAX];
        size_t n_words;
} Line;

static const struct {
        const char *name;
        int error;
} error_table[] = {
        {"EPERM", EPERM},
        {"ENOSYS", ENOSYS},
        {"EAFNOSUPPORT", EAFNOSUPPORT},
        {"EPROTONOSUPPORT", EPROTONOSUPPORT},
        {"EINVAL", EINVAL},
        {"ENOTTY", ENOTTY},
        {"EOPNOTSUPP", EOPNOTSUPP},
        {"ENOPROTOOPT", ENOPROTOOPT},
        {"ENOENT", ENOENT},
        {"ENOMEM", ENOMEM},
        {"E2BIG", E2BIG},
};

static int fail(PolicyError *reterr, const char *text) {
        reterr->text = text;
        return -EINVAL;
}

static int parse_error_name(const char *word, int *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(error_table); i++)
                if (strcmp(word, error_table[i].name) == 0) {
                        *ret = error_table[i].error;
                        return 0;
                }

        return -EINVAL;
}

/* Decimal or 0x…; the whole word. */
static int parse_value(const char *word, uint32_t *ret) {
        unsigned long long value;
        char *end;

        if (word[0] < '0' || word[0] > '9')
                return -EINVAL;
        errno = 0;
        value = strtoull(word, &end, 0);
        if (*end || errno != 0 || value > UINT32_MAX)
                return -EINVAL;

        *ret = (uint32_t)value;
        return 0;
}

static bool is_call_name(const char *word) {
        size_t len = strlen(word);

        return len > 0 && len < POLICY_NAME_SIZE &&
               strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

/* Splits at blanks, up to a '#'. */
static int split(const char *begin, const char *end, Line *line, PolicyError *reterr) {
        size_t len = (size_t)(end - begin);
        char *save = NULL;

        if (len >= sizeof(line->buffer))
                return fail(reterr, "line too long");
        memcpy(line->buffer, begin, len);
        line->buffer[len] = '\0';
        line->buffer[strcspn(line->buffer, "#")] = '\0';

        line->n_words = 0;
        for (char *word = strtok_r(line->buffer, " \t\r", &save); word;
             word = strtok_r(NULL, " \t\r", &save)) {
                if (line->n_words == POLICY_WORDS_MAX)
                        return fail(reterr, "too many words in a line");
                line->words[line->n_words++] = word;
        }

        return 0;
}

/* Parses "argN OP VALUE…" from word *@i on; stops at "and" or at the end. */
static int parse_condition(const Line *line, size_t *i, PolicyCondition *ret, PolicyError *reterr) {
        const char *word;

        if (*i + 3 > line->n_words)
                return fail(reterr, "a condition is: argN in|not-in|&|from VALUE...");

        word = line->words[(*i)++];
        if (strncmp(word, "arg", 3) != 0 || word[3] < '0' || word[3] > '5' ||
            (word[4] != '\0' && strcmp(word + 4, "h") != 0))
                return fail(reterr, "expected arg0 to arg5, or arg0h to arg5h");
        ret->arg = (uint32_t)(word[3] - '0');
        ret->high = word[4] != '\0';

        word = line->words[(*i)++];
        if (strcmp(word, "in") == 0)
                ret->op = POLICY_IN;
        else if (strcmp(word, "not-in") == 0)
                ret->op = POLICY_NOT_IN;
        else if (strcmp(word, "&") == 0)
                ret->op = POLICY_ANY_OF;
        else if (strcmp(word, "from") == 0)
                ret->op = POLICY_FROM;
        else
                return fail(reterr, "expected in, not-in, & or from");

        ret->n_values = 0;
        for (; *i < line->n_words && strcmp(line->words[*i], "and") != 0; (*i)++) {
                if (ret->n_values == POLICY_VALUES_MAX)
                        return fail(reterr, "too many values");
                if (parse_value(line->words[*i], &ret->values[ret->n_values++]) < 0)
                        return fail(reterr, "not a number");
        }
        if (ret->n_values == 0 || (ret->op == POLICY_ANY_OF && ret->n_values != 1) ||
            (ret->op == POLICY_FROM && ret->n_values != 2))
                return fail(reterr, "wrong number of values");
        if (ret->op == POLICY_FROM && ret->values[0] > ret->values[1])
                return fail(reterr, "the first value is above the last");

        return 0;
}

static int add_rule(
        Policy *policy,
        const char *name,
        int error,
        unsigned number,
        PolicyError *reterr,
        PolicyRule **ret) {
        PolicyRule *rule;

        if (!is_call_name(name))
                return fail(reterr, "not the name of a system call");
        if (policy->n_rules == POLICY_RULES_MAX)
                return fail(reterr, "too many rules");

        rule = &policy->rules[policy->n_rules++];
        *rule = (PolicyRule){.error = error, .line = number};
        memcpy(rule->name, name, strlen(name) + 1);
        if (ret)
                *ret = rule;

        return 0;
}

/* "NAME if CONDITION [and CONDITION]" from word @i on. */
static int parse_conditional(
        Policy *policy,
        const Line *line,
        size_t i,
        int error,
        unsigned number,
        PolicyError *reterr) {
        PolicyRule *rule = NULL;
        int r;

        r = add_rule(policy, line->words[i], error, number, reterr, &rule);
        if (r < 0)
                return r;
        i += 2;
        for (;;) {
                if (rule->n_conditions == POLICY_CONDITIONS_MAX)
                        return fail(reterr, "too many conditions");
                r = parse_condition(line, &i, &rule->conditions[rule->n_conditions++], reterr);
                if (r < 0)
                        return r;
                if (i == line->n_words)
                        return 0;
                i++; /* "and" */
        }
}

/* "refuse ERROR NAME..." or "refuse ERROR NAME if CONDITION [and CONDITION]" */
static int parse_refuse(Policy *policy, const Line *line, unsigned number, PolicyError *reterr) {
        int error, r;

        if (line->n_words < 3 || parse_error_name(line->words[1], &error) < 0)
                return fail(reterr, "expected: refuse ERRNO NAME...");
        if (line->n_words >= 4 && strcmp(line->words[3], "if") == 0)
                return parse_conditional(policy, line, 2, error, number, reterr);

        for (size_t i = 2; i < line->n_words; i++) {
                r = add_rule(policy, line->words[i], error, number, reterr, NULL);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_line(Policy *policy, const Line *line, unsigned number, PolicyError *reterr) {
        int r;

        if (line->n_words < 2)
                return fail(reterr, "incomplete line");

        if (strcmp(line->words[0], "allow") == 0) {
                for (size_t i = 1; i < line->n_words; i++) {
                        r = add_rule(policy, line->words[i], 0, number, reterr, NULL);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if (strcmp(line->words[0], "refuse") == 0)
                return parse_refuse(policy, line, number, reterr);
        if (strcmp(line->words[0], "pretend") == 0) {
                if (line->n_words < 3 || strcmp(line->words[2], "if") != 0)
                        return fail(reterr, "expected: pretend NAME if ...");
                return parse_conditional(policy, line, 1, 0, number, reterr);
        }
        if (line->n_words != 2)
                return fail(reterr, "unknown statement");

        if (strcmp(line->words[0], "default") == 0) {
                if (strcmp(line->words[1], "allow") == 0)
                        policy->default_error = 0;
                else if (parse_error_name(line->words[1], &policy->default_error) < 0)
                        return fail(reterr, "expected: default allow|ERRNO");
                return 0;
        }
        if (strcmp(line->words[0], "arch") == 0) {
                if (strcmp(line->words[1], "kill") == 0)
                        policy->arch_error = 0;
                else if (parse_error_name(line->words[1], &policy->arch_error) < 0)
                        return fail(reterr, "expected: arch kill|ERRNO");
                return 0;
        }

        return fail(reterr, "unknown statement");
}

/* A call that is allowed here and refused there, or named twice, is a slip of the author. */
static int check_duplicates(const Policy *policy, PolicyError *reterr) {
        for (size_t i = 0; i < policy->n_rules; i++)
                for (size_t j = i + 1; j < policy->n_rules; j++) {
                        const PolicyRule *a = &policy->rules[i], *b = &policy->rules[j];

                        if (a->n_conditions == 0 && b->n_conditions == 0 &&
                            strcmp(a->name, b->name) == 0) {
                                reterr->line = b->line;
                                return fail(reterr, "this system call already has a rule");
                        }
                }

        return 0;
}

int policy_parse(const char *text, Policy *ret, PolicyError *reterr) {
        unsigned number = 1;
        int r;

        assert(text);
        assert(ret);
        assert(reterr);

        /* Fail closed: a text that says nothing allows nothing. */
        *ret = (Policy){.default_error = ENOSYS};

        for (const char *begin = text; *begin; number++) {
                const char *end = strchrnul(begin, '\n');
                Line line;

                reterr->line = number;
                r = split(begin, end, &line, reterr);
                if (r == 0 && line.n_words > 0)
                        r = parse_line(ret, &line, number, reterr);
                if (r < 0)
                        return r;
                begin = *end ? end + 1 : end;
        }

        return check_duplicates(ret, reterr);
}
