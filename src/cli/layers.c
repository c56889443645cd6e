/* SPDX-License-Identifier: Apache-2.0 */

/* `ps:inspect` and `doctor`: one line per layer; what failed is in capitals. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"

#define NAME_WIDTH 13
#define VERDICT_WIDTH 8
#define DETAIL_INDENT (NAME_WIDTH + 1 + VERDICT_WIDTH + 1)

static bool layer_failed(struct json_object *layer) {
        return strcmp(json_text(layer, "verdict"), "failed") == 0;
}

/* Text of several lines, all behind the first indented as deep. */
static void print_indented(const Output *output, const char *text, int indent, bool first) {
        while (*text) {
                size_t len = strcspn(text, "\n");
                char *line = text_clean(text, len);

                (void)fprintf(output->out, "%*s%s\n", first ? 0 : indent, "", line ?: "");
                free(line);
                first = false;
                text += len;
                if (*text)
                        text++;
        }
}

static void print_layer(const Output *output, struct json_object *layer, const char *name) {
        const char *verdict = json_text(layer, "verdict"), *detail = json_text(layer, "detail");
        bool failed = layer_failed(layer), ok = strcmp(verdict, "ok") == 0;
        Color color = failed ? COLOR_RED : ok ? COLOR_GREEN : COLOR_YELLOW;

        (void)fprintf(
                output->out,
                "%-*s %s%s%s",
                NAME_WIDTH,
                name,
                output_color(output, color),
                failed ? "FAILED" : verdict,
                output_plain(output));
        if (*detail) {
                size_t used = strlen(failed ? "FAILED" : verdict);

                (void)fprintf(
                        output->out,
                        "%*s",
                        (int)(used < VERDICT_WIDTH ? VERDICT_WIDTH - used + 1 : 1),
                        "");
                print_indented(output, detail, DETAIL_INDENT, /* first= */ true);
        } else {
                (void)fputc('\n', output->out);
        }
        if (!ok)
                print_indented(output, json_text(layer, "fix"), DETAIL_INDENT, /* first= */ false);
}

typedef enum Which {
        LAYERS_FAILED,
        LAYERS_OTHER,
        LAYERS_ALL,
} Which;

/* Return: how many were printed. */
static size_t
print_layers(const Output *output, struct json_object *layers, const char *key, Which which) {
        size_t n = 0;

        for (size_t i = 0; i < json_length(layers); i++) {
                struct json_object *layer = json_at(layers, i);

                if (which != LAYERS_ALL && layer_failed(layer) != (which == LAYERS_FAILED))
                        continue;
                print_layer(output, layer, json_text(layer, key));
                n++;
        }
        return n;
}

static void print_timing(const Output *output, struct json_object *timing) {
        uint64_t before = 0;

        (void)fprintf(output->out, "\n=== Start, from the request on\n\n");
        if (json_members(timing) == 0) {
                (void)fprintf(output->out, "Not known: this dyno was started before dynod was.\n");
                return;
        }
        json_object_object_foreach(timing, phase, value) {
                uint64_t usec = json_object_get_uint64(value);

                (void)fprintf(
                        output->out,
                        "%-*s %7.2f ms  (+%.2f)\n",
                        NAME_WIDTH,
                        phase,
                        (double)usec / 1000,
                        (double)(usec > before ? usec - before : 0) / 1000);
                before = usec;
        }
}

int render_inspect(const Output *output, struct json_object *facts, const char *app, bool timing) {
        struct json_object *layers = json_get(facts, "layers");
        struct json_object *dyno = json_get(facts, "dyno");
        char when[TEXT_TIME_SIZE];
        size_t failed, allowed = 0;

        if (json_object_is_type(dyno, json_type_object))
                (void)fprintf(
                        output->out,
                        "=== %s%s%s of %s (%s, pid %" PRIu64 ", uid %" PRIu64 ")\n\n",
                        output_color(output, COLOR_BOLD),
                        json_text(dyno, "name"),
                        output_plain(output),
                        app,
                        json_text(dyno, "id"),
                        json_number(dyno, "pid"),
                        json_number(dyno, "uid"));
        else
                (void)fprintf(output->out, "=== %s of %s\n\n", json_text(facts, "dyno"), app);

        failed = print_layers(output, layers, "layer", LAYERS_FAILED);
        (void)print_layers(output, layers, "layer", LAYERS_OTHER);
        for (size_t i = 0; i < json_length(layers); i++)
                allowed += strcmp(json_text(json_at(layers, i), "verdict"), "allowed") == 0;

        text_time_of_day(when, output->now_usec);
        (void)fputc('\n', output->out);
        if (failed > 0)
                (void)fprintf(
                        output->out,
                        "%zu of %zu layers not as asked for",
                        failed,
                        json_length(layers));
        else if (allowed > 0)
                (void)fprintf(
                        output->out,
                        "%zu of %zu layers as asked for, %zu missing as allow_missing says",
                        json_length(layers) - allowed,
                        json_length(layers),
                        allowed);
        else
                (void)fprintf(output->out, "All %zu layers as asked for", json_length(layers));
        (void)fprintf(
                output->out,
                ", read from the kernel at %s in %.1f ms.\n",
                when,
                (double)json_number(facts, "duration_usec") / 1000);
        if (timing)
                print_timing(output, json_get(facts, "timing"));

        return failed > 0;
}

static void print_host_line(const Output *output, struct json_object *host) {
        char memory[TEXT_NUMBER_SIZE];

        text_bytes(memory, json_number(host, "memory"));
        (void)fprintf(
                output->out,
                "=== %s%s%s: %s, Linux %s, %" PRIu64 " cores, %s, dynod %s\n\n",
                output_color(output, COLOR_BOLD),
                json_text(host, "hostname"),
                output_plain(output),
                json_text(host, "os"),
                json_text(host, "kernel"),
                json_number(host, "cores"),
                memory,
                json_text(host, "version"));
}

int render_doctor(const Output *output, struct json_object *facts) {
        _cleanup_free_ char *missing = json_join(json_get(facts, "missing"), ", ");
        _cleanup_free_ char *allowed = json_join(json_get(facts, "allowed"), ", ");
        struct json_object *layers = json_get(facts, "layers"), *checks = json_get(facts, "checks");

        if (!missing || !allowed)
                return -ENOMEM;
        print_host_line(output, json_get(facts, "host"));
        (void)print_layers(output, layers, "layer", LAYERS_ALL);
        (void)print_layers(output, checks, "check", LAYERS_ALL);

        (void)fputc('\n', output->out);
        if (!json_flag(facts, "can_start")) {
                (void)fprintf(
                        output->out,
                        "Dynos cannot start on this host%s%s%s.\n",
                        *missing ? ": " : "",
                        missing,
                        !*missing              ? ""
                        : strchr(missing, ',') ? " are missing"
                                               : " is missing");
                return 1;
        }
        if (*allowed) {
                (void)fprintf(
                        output->out,
                        "Dynos can start, without: %s (allowed by allow_missing in dynod.conf).\n",
                        allowed);
                return 2;
        }
        (void)fprintf(output->out, "Dynos can start on this host. 0 layers missing.\n");
        return 0;
}
