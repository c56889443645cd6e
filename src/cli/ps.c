/* SPDX-License-Identifier: Apache-2.0 */

/*
 * `ps`: is it fine, and if not why, and when will it try again.
 *
 * The first two thirds of each line are Heroku's, "web.1: up TIME (~ 4m ago)", so that old
 * eyes and old regular expressions work.
 */

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"

#define COLUMN_GAP 3

/* One dyno, taken apart into columns. Owned texts. */
typedef struct DynoLine {
        struct json_object *dyno; /* borrowed */
        char *head, *memory, *cpu, *address, *note;
} DynoLine;

static void dyno_line_clear(DynoLine *line) {
        free(line->head);
        free(line->memory);
        free(line->cpu);
        free(line->address);
        free(line->note);
}

static char *cleaned(const char *text) {
        return text_clean(text, strlen(text));
}

/* "web.1" and "web.10" in the order of their numbers, types by name but web first and run last. */
static int type_rank(const char *type) {
        return strcmp(type, "web") == 0 ? 0 : strcmp(type, "run") == 0 ? 2 : 1;
}

static unsigned long dyno_number(struct json_object *dyno) {
        const char *dot = strrchr(json_text(dyno, "name"), '.');

        return dot ? strtoul(dot + 1, NULL, 10) : 0;
}

static int compare_dynos(const void *a, const void *b) {
        struct json_object *da = *(struct json_object *const *)a;
        struct json_object *db = *(struct json_object *const *)b;
        unsigned long na = dyno_number(da), nb = dyno_number(db);
        int r = strcmp(json_text(da, "app"), json_text(db, "app"));

        if (r == 0)
                r = type_rank(json_text(da, "type")) - type_rank(json_text(db, "type"));
        if (r == 0)
                r = strcmp(json_text(da, "type"), json_text(db, "type"));
        if (r == 0)
                r = na < nb ? -1 : na > nb;
        /* the same name twice: the one on its way out goes last */
        if (r == 0)
                r = (strcmp(json_text(da, "state"), "stopping") == 0) -
                    (strcmp(json_text(db, "state"), "stopping") == 0);
        return r ?: strcmp(json_text(da, "id"), json_text(db, "id"));
}

static bool is_one_off(struct json_object *dyno) {
        return strcmp(json_text(dyno, "type"), "run") == 0;
}

static char *line_head(const Output *output, struct json_object *dyno) {
        _cleanup_free_ char *command = NULL, *shown = NULL;
        char when[TEXT_TIME_SIZE] = "";
        const char *state = json_text(dyno, "state");
        uint64_t since;
        Color color = COLOR_NONE;
        char *head = NULL;

        if (text_parse_time(json_text(dyno, "since"), &since) == 0)
                text_time_ago(when, since, output->now_usec);
        if (strcmp(state, "crashed") == 0)
                color = COLOR_RED;
        else if (strcmp(state, "starting") == 0 || strcmp(state, "stopping") == 0)
                color = COLOR_YELLOW;
        else if (strcmp(state, "up") == 0)
                color = COLOR_GREEN;

        command = cleaned(json_text(dyno, "command"));
        shown = command ? text_cut(command, output->width > 60 ? output->width / 3 : 0) : NULL;
        if (asprintf(
                    &head,
                    "%s%s%s%s: %s%s%s %s%s%s",
                    json_text(dyno, "name"),
                    is_one_off(dyno) ? " (" : "",
                    is_one_off(dyno) ? json_text(dyno, "size") : "",
                    is_one_off(dyno) ? ")" : "",
                    output_color(output, color),
                    state,
                    output_plain(output),
                    when,
                    is_one_off(dyno) ? ": " : "",
                    is_one_off(dyno) && shown ? shown : "") < 0)
                return NULL;
        return head;
}

static char *line_memory(struct json_object *dyno) {
        char *text = NULL;

        if (json_number(dyno, "memory_limit") == 0 || json_number(dyno, "memory") == 0)
                return strdup("");
        if (asprintf(
                    &text,
                    "%" PRIu64 " / %" PRIu64 " MB",
                    (json_number(dyno, "memory") + (1 << 19)) >> 20,
                    json_number(dyno, "memory_limit") >> 20) < 0)
                return NULL;
        return text;
}

static char *line_cpu(struct json_object *dyno) {
        char *text = NULL;

        if (!json_has(dyno, "cpu_percent"))
                return strdup("");
        return asprintf(&text, "cpu %.0f %%", json_real(dyno, "cpu_percent")) < 0 ? NULL : text;
}

static char *line_address(struct json_object *dyno) {
        char *text = NULL;

        if (!json_has(dyno, "address") || json_number(dyno, "port") == 0 ||
            strcmp(json_text(dyno, "state"), "up") != 0)
                return strdup("");
        if (asprintf(&text, "%s:%" PRIu64, json_text(dyno, "address"), json_number(dyno, "port")) <
            0)
                return NULL;
        return text;
}

/* "exit 1, 2nd crash, next start 19:40:02 (in 13m)" */
static void note_crash(FILE *f, const Output *output, struct json_object *dyno, bool reason) {
        char number[TEXT_NUMBER_SIZE], when[TEXT_TIME_SIZE], age[TEXT_NUMBER_SIZE];
        uint64_t at, crashes = json_number(dyno, "crashes");
        const char *separator = reason ? ", " : "";

        if (!reason && json_has(dyno, "exit_status")) {
                (void)fprintf(f, "exit %" PRIu64, json_number(dyno, "exit_status"));
                separator = ", ";
        }
        if (crashes > 1) {
                (void)fprintf(f, "%s%s crash", separator, text_ordinal(number, crashes));
                separator = ", ";
        }
        if (text_parse_time(json_text(dyno, "next_start"), &at) == 0) {
                text_time_of_day(when, at);
                text_age(age, at > output->now_usec ? at - output->now_usec : 0);
                (void)fprintf(f, "%snext start %s (in %s)", separator, when, age);
        }
}

/* "waiting for $PORT, 57 s left"; why it is not up; what is wrong though it is up: "R14". */
static char *line_note(const Output *output, struct json_object *dyno) {
        _cleanup_free_ char *reason = cleaned(json_text(dyno, "reason"));
        bool has_reason = reason && *reason;
        char *text = NULL;
        size_t size = 0;
        uint64_t at;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        if (text_parse_time(json_text(dyno, "boot_deadline"), &at) == 0) {
                (void)fprintf(
                        f,
                        "waiting for $PORT, %" PRIu64 " s left",
                        at > output->now_usec ? (at - output->now_usec) / USEC_PER_SEC : 0);
                if (has_reason)
                        (void)fprintf(f, ", before: %s", reason);
        } else if (has_reason) {
                (void)fputs(reason, f);
        }
        if (strcmp(json_text(dyno, "state"), "crashed") == 0)
                note_crash(f, output, dyno, has_reason);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

/* Width without the colour codes that the text may hold. */
static size_t shown_width(const char *text) {
        _cleanup_free_ char *plain = cleaned(text);

        return plain ? text_width(plain) : 0;
}

static void print_padded(FILE *out, const char *text, size_t width) {
        size_t have = shown_width(text);

        (void)fprintf(out, "%s%*s", text, (int)(width > have ? width - have : 0), "");
}

/* Columns that are empty in the whole group take no room. */
static void print_columns(const Output *output, const DynoLine *lines, size_t n, size_t i) {
        size_t head = 0, memory = 0, cpu = 0, address = 0;
        const DynoLine *line = &lines[i];
        const char *texts[] = {line->head, line->memory, line->cpu, line->address, line->note};
        size_t widths[4], last = 0, gap = 0;

        for (size_t j = 0; j < n; j++) {
                size_t w[] = {
                        shown_width(lines[j].head),
                        text_width(lines[j].memory),
                        text_width(lines[j].cpu),
                        text_width(lines[j].address)};

                head = w[0] > head ? w[0] : head;
                memory = w[1] > memory ? w[1] : memory;
                cpu = w[2] > cpu ? w[2] : cpu;
                address = w[3] > address ? w[3] : address;
        }
        widths[0] = head;
        widths[1] = memory;
        widths[2] = cpu;
        widths[3] = address;

        for (size_t k = 0; k < ARRAY_SIZE(texts); k++)
                if (*texts[k])
                        last = k;
        for (size_t k = 0; k <= last; k++) {
                if (k < 4 && widths[k] == 0)
                        continue;
                (void)fprintf(output->out, "%*s", (int)gap, "");
                if (k == last)
                        (void)fputs(texts[k], output->out);
                else
                        print_padded(output->out, texts[k], widths[k]);
                gap = COLUMN_GAP;
        }
        (void)fputc('\n', output->out);
}

static void print_crash(const Output *output, struct json_object *dyno) {
        const char *name = json_text(dyno, "name"), *app = json_text(dyno, "app");
        int indent = (int)strlen(name) + 2;
        _cleanup_free_ char *words = cleaned(json_text(dyno, "last_words"));

        if (strcmp(json_text(dyno, "state"), "crashed") != 0)
                return;
        if (words && *words)
                (void)fprintf(output->out, "%*s%s\n", indent, "", words);
        (void)fprintf(
                output->out,
                "%*sherokuctl logs -a %s --ps %s   or   herokuctl ps:restart %s -a %s\n",
                indent,
                "",
                app,
                name,
                name,
                app);
}

/* "  published 80, 443" */
static void append_published(char *tail, size_t size, struct json_object *published) {
        size_t used = strlen(tail);

        for (size_t i = 0; i < json_length(published) && used < size; i++)
                used += (size_t)snprintf(
                        tail + used,
                        size - used,
                        "%s%s",
                        i == 0 ? "  published " : ", ",
                        json_object_get_string(json_at(published, i)));
}

static void
print_group_head(const Output *output, struct json_object *first, size_t n, bool all_apps) {
        _cleanup_free_ char *command = cleaned(json_text(first, "command")), *shown = NULL;
        const char *app = all_apps ? json_text(first, "app") : "";
        const char *bold = output_color(output, COLOR_BOLD), *plain = output_plain(output);
        char tail[256] = ""; /* 16 published ports among it */
        size_t fixed;

        if (is_one_off(first)) {
                (void)fprintf(
                        output->out,
                        "=== %s%s%s%srun%s: one-off processes (%zu)\n\n",
                        bold,
                        app,
                        all_apps ? " " : "",
                        "",
                        plain,
                        n);
                return;
        }
        if (json_number(first, "release") > 0)
                (void)snprintf(
                        tail,
                        sizeof(tail),
                        "  v%" PRIu64 "  %s@%" PRIu64,
                        json_number(first, "release"),
                        json_text(first, "stack"),
                        json_number(first, "stack_version"));
        append_published(tail, sizeof(tail), json_get(first, "published"));
        fixed = strlen("===  (): ()999") + strlen(app) + strlen(json_text(first, "type")) +
                strlen(json_text(first, "size")) + strlen(tail);
        if (output->width > fixed + 8 && command)
                shown = text_cut(command, output->width - fixed);
        (void)fprintf(
                output->out,
                "=== %s%s%s%s%s (%s): %s (%zu)%s\n\n",
                bold,
                app,
                all_apps ? " " : "",
                json_text(first, "type"),
                plain,
                json_text(first, "size"),
                shown ?: (command ?: ""),
                n,
                tail);
}

static int
print_group(const Output *output, struct json_object *const *dynos, size_t n, bool all_apps) {
        DynoLine *lines = calloc(n, sizeof(*lines));
        bool complete = lines != NULL;

        if (!lines)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                DynoLine *line = &lines[i];

                line->dyno = dynos[i];
                line->head = line_head(output, dynos[i]);
                line->memory = line_memory(dynos[i]);
                line->cpu = line_cpu(dynos[i]);
                line->address = line_address(dynos[i]);
                line->note = line_note(output, dynos[i]);
                if (!line->head || !line->memory || !line->cpu || !line->address || !line->note)
                        complete = false;
        }
        if (complete) {
                print_group_head(output, dynos[0], n, all_apps);
                for (size_t i = 0; i < n; i++) {
                        print_columns(output, lines, n, i);
                        print_crash(output, dynos[i]);
                }
        }
        for (size_t i = 0; i < n; i++)
                dyno_line_clear(&lines[i]);
        free(lines);
        return complete ? 0 : -ENOMEM;
}

static bool same_group(struct json_object *a, struct json_object *b) {
        return strcmp(json_text(a, "app"), json_text(b, "app")) == 0 &&
               strcmp(json_text(a, "type"), json_text(b, "type")) == 0;
}

int render_ps(const Output *output, struct json_object *dynos, bool all_apps) {
        size_t n = json_length(dynos);
        struct json_object **sorted;
        int r = 0;

        /* NOLINTBEGIN(bugprone-sizeof-expression): it is pointers that are sorted */
        sorted = calloc(n + 1, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_at(dynos, i);
        qsort(sorted, n, sizeof(*sorted), compare_dynos);
        /* NOLINTEND(bugprone-sizeof-expression) */

        for (size_t start = 0, end; start < n && r == 0; start = end) {
                for (end = start + 1; end < n && same_group(sorted[start], sorted[end]);)
                        end++;
                if (start > 0)
                        (void)fputc('\n', output->out);
                r = print_group(output, sorted + start, end - start, all_apps);
        }
        free(sorted);
        return r;
}
