/* SPDX-License-Identifier: Apache-2.0 */

/* The lists and the facts that are plain tables. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/parse.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/table.h"
#include "cli/text.h"

#define DIGEST_SHOWN 8 /* characters of a digest that people compare */

static void cell_time(Table *table, const Output *output, struct json_object *o, const char *key) {
        char when[TEXT_TIME_SIZE] = "";
        uint64_t usec;

        if (text_parse_time(json_text(o, key), &usec) == 0)
                text_time_ago(when, usec, output->now_usec);
        table_cell(table, "%s", when);
}

static void cell_bytes(Table *table, uint64_t bytes) {
        char text[TEXT_NUMBER_SIZE];

        text_bytes(text, bytes);
        table_cell(table, "%s", text);
}

int render_apps(const Output *output, struct json_object *apps) {
        Table table;

        table_heading(output, "Apps");
        table_begin(&table);
        for (size_t i = 0; i < json_length(apps); i++) {
                struct json_object *app = json_at(apps, i);
                uint64_t release = json_number(app, "release");

                table_cell(&table, "%s", json_text(app, "name"));
                if (release > 0)
                        table_cell(&table, "v%" PRIu64, release);
                else
                        table_cell(&table, "not deployed");
                table_cell(&table, "%s", json_text(app, "stack"));
                table_cell(
                        &table,
                        "%" PRIu64 " of %" PRIu64 " dynos up",
                        json_number(app, "up"),
                        json_number(app, "dynos"));
                table_end_line(&table);
        }
        return table_print(&table, output);
}

int render_formation(const Output *output, struct json_object *formation) {
        for (size_t i = 0; i < json_length(formation); i++) {
                struct json_object *f = json_at(formation, i);

                (void)fprintf(
                        output->out,
                        "%s%s=%" PRIu64 ":%s",
                        i > 0 ? " " : "",
                        json_text(f, "type"),
                        json_number(f, "quantity"),
                        json_text(f, "size"));
        }
        (void)fputc('\n', output->out);
        return 0;
}

static void info_time(
        Table *table,
        const Output *output,
        const char *name,
        struct json_object *o,
        const char *key) {
        table_cell(table, "%s:", name);
        cell_time(table, output, o, key);
        table_end_line(table);
}

/* What is not as it is by itself has a line. */
static void app_network(Table *table, struct json_object *app) {
        _cleanup_free_ char *published = json_join(json_get(app, "published"), ", ");
        _cleanup_free_ char *services = json_join(json_get(app, "services"), ", ");
        uint64_t rules = json_number(app, "rules"), trusted = json_number(app, "trusted");

        table_info(
                table,
                "Firewall",
                "%s, %" PRIu64 " rule%s%s%s",
                json_text(app, "firewall"),
                rules,
                rules == 1 ? "" : "s",
                json_has(app, "source") ? ", source " : "",
                json_text(app, "source"));
        if (services && *services)
                table_info(table, "Services", "%s", services);
        if (!published || !*published)
                return;
        if (json_flag(app, "restricted"))
                table_info(
                        table,
                        "Published",
                        "%s, for %" PRIu64 " trusted network%s",
                        published,
                        trusted,
                        trusted == 1 ? "" : "s");
        else
                table_info(table, "Published", "%s, for everybody", published);
}

int render_app_info(const Output *output, struct json_object *app) {
        struct json_object *formation = json_get(app, "formation");
        char size[TEXT_NUMBER_SIZE];
        Table table;

        table_heading(output, "%s", json_text(app, "name"));
        table_begin(&table);
        table_info(
                &table,
                "Dynos",
                "%" PRIu64 " of %" PRIu64 " up",
                json_number(app, "up"),
                json_number(app, "dynos"));
        for (size_t i = 0; i < json_length(formation); i++) {
                struct json_object *f = json_at(formation, i);

                table_info(
                        &table,
                        i == 0 ? "Formation" : "",
                        "%s=%" PRIu64 ":%s",
                        json_text(f, "type"),
                        json_number(f, "quantity"),
                        json_text(f, "size"));
        }
        if (json_has(app, "firewall"))
                app_network(&table, app);
        table_info(&table, "Stack", "%s", json_text(app, "stack"));
        if (json_number(app, "release") > 0)
                table_info(
                        &table,
                        "Release",
                        "v%" PRIu64 " on %s@%" PRIu64,
                        json_number(app, "release"),
                        json_text(app, "stack"),
                        json_number(app, "stack_version"));
        else
                table_info(
                        &table,
                        "Release",
                        "none yet: herokuctl deploy FILE -a %s",
                        json_text(app, "name"));
        if (json_has(app, "slug")) {
                text_bytes(size, json_number(app, "slug_bytes"));
                table_info(
                        &table,
                        "Slug",
                        "%.*s, %s unpacked",
                        DIGEST_SHOWN,
                        json_text(app, "slug"),
                        size);
        }
        info_time(&table, output, "Created", app, "created");
        return table_print(&table, output);
}

int render_stacks(const Output *output, struct json_object *stacks) {
        Table table;

        table_heading(output, "Stacks");
        table_begin(&table);
        for (size_t i = 0; i < json_length(stacks); i++) {
                struct json_object *stack = json_at(stacks, i);
                _cleanup_free_ char *apps = json_join(json_get(stack, "apps"), ", ");

                table_cell(
                        &table,
                        "%s@%" PRIu64,
                        json_text(stack, "name"),
                        json_number(stack, "version"));
                cell_bytes(&table, json_number(stack, "bytes"));
                table_cell(&table, "%.*s", DIGEST_SHOWN, json_text(stack, "digest"));
                cell_time(&table, output, stack, "imported");
                table_cell(&table, "%s%s", apps && *apps ? "used by " : "not used", apps ?: "");
                table_end_line(&table);
        }
        return table_print(&table, output);
}

int render_releases(const Output *output, struct json_object *releases, const char *app) {
        uint64_t current = 0;
        Table table;

        for (size_t i = 0; i < json_length(releases); i++)
                if (json_flag(json_at(releases, i), "current"))
                        current = json_number(json_at(releases, i), "release");

        table_heading(output, "%s Releases - Current: v%" PRIu64, app, current);
        table_begin(&table);
        for (size_t i = 0; i < json_length(releases); i++) {
                struct json_object *release = json_at(releases, i);

                table_cell(&table, "v%" PRIu64, json_number(release, "release"));
                table_cell(&table, "%s", json_text(release, "description"));
                table_cell(&table, "%s", json_text(release, "user"));
                cell_time(&table, output, release, "created");
                table_end_line(&table);
        }
        return table_print(&table, output);
}

static int render_processes(const Output *output, struct json_object *processes) {
        Table table;

        if (json_members(processes) == 0)
                return 0;
        (void)fputc('\n', output->out);
        table_heading(output, "Process types");
        table_begin(&table);
        json_object_object_foreach(processes, type, command)
                table_info(&table, type, "%s", json_object_get_string(command));
        return table_print(&table, output);
}

int render_release_info(const Output *output, struct json_object *release, const char *app) {
        _cleanup_free_ char *keys = json_join(json_get(release, "config_keys"), ", ");
        Table table;
        int r;

        table_heading(output, "Release v%" PRIu64 " of %s", json_number(release, "release"), app);
        table_begin(&table);
        table_info(&table, "Change", "%s", json_text(release, "description"));
        table_info(&table, "By", "%s", json_text(release, "user"));
        info_time(&table, output, "When", release, "created");
        table_info(&table, "Current", "%s", json_flag(release, "current") ? "yes" : "no");
        if (json_has(release, "slug"))
                table_info(&table, "Slug", "%s", json_text(release, "slug"));
        if (json_has(release, "stack"))
                table_info(
                        &table,
                        "Stack",
                        "%s@%" PRIu64,
                        json_text(release, "stack"),
                        json_number(release, "stack_version"));
        table_info(&table, "Config", "%s", keys && *keys ? keys : "none");
        r = table_print(&table, output);
        if (r < 0)
                return r;
        return render_processes(output, json_get(release, "processes"));
}

int render_config(const Output *output, struct json_object *config, const char *app) {
        Table table;

        table_heading(output, "%s Config Vars", app);
        table_begin(&table);
        if (json_members(config) == 0)
                return table_print(&table, output);
        json_object_object_foreach(config, name, value)
                table_info(&table, name, "%s", json_object_get_string(value));
        return table_print(&table, output);
}

int render_config_shell(const Output *output, struct json_object *config) {
        if (json_members(config) == 0)
                return 0;
        json_object_object_foreach(config, name, value) {
                _cleanup_free_ char *quoted = NULL;
                int r = text_append_quoted(&quoted, json_object_get_string(value) ?: "");

                if (r < 0)
                        return r;
                (void)fprintf(output->out, "%s=%s\n", name, quoted);
        }
        return 0;
}

static void cell_limit(Table *table, uint64_t bytes, const char *unit) {
        char text[TEXT_NUMBER_SIZE];

        if (bytes == 0) {
                table_cell(table, "no limit");
                return;
        }
        text_bytes(text, bytes);
        table_cell(table, "%s%s", text, unit);
}

/* "4,000, 200/s new" */
static void cell_connections(Table *table, struct json_object *size) {
        char count[TEXT_NUMBER_SIZE], rate[TEXT_NUMBER_SIZE];

        text_count(count, json_number(size, "connections"));
        text_count(rate, json_number(size, "connection_rate"));
        if (json_number(size, "connection_rate") > 0)
                table_cell(
                        table,
                        "%s, %s/s new",
                        json_number(size, "connections") > 0 ? count : "no limit",
                        rate);
        else
                table_cell(table, "%s", json_number(size, "connections") > 0 ? count : "no limit");
}

int render_sizes(const Output *output, struct json_object *sizes) {
        Table table;

        table_heading(output, "Dyno sizes");
        table_begin(&table);
        table_cell(&table, "name");
        table_cell(&table, "memory");
        table_cell(&table, "killed at");
        table_cell(&table, "cpu weight");
        table_cell(&table, "processes");
        table_cell(&table, "bandwidth");
        table_cell(&table, "disk");
        table_cell(&table, "connections");
        table_end_line(&table);
        for (size_t i = 0; i < json_length(sizes); i++) {
                struct json_object *size = json_at(sizes, i);

                table_cell(&table, "%s", json_text(size, "name"));
                cell_bytes(&table, json_number(size, "memory_quota"));
                cell_bytes(&table, json_number(size, "memory_kill"));
                table_cell(&table, "%" PRIu64, json_number(size, "cpu_weight"));
                table_cell(&table, "%" PRIu64, json_number(size, "process_limit"));
                cell_limit(&table, json_number(size, "bandwidth"), "/s");
                cell_limit(&table, json_number(size, "disk"), "");
                cell_connections(&table, size);
                table_end_line(&table);
        }
        return table_print(&table, output);
}

int render_host(const Output *output, struct json_object *host) {
        char promised[TEXT_NUMBER_SIZE], limit[TEXT_NUMBER_SIZE], memory[TEXT_NUMBER_SIZE];
        Table table;

        table_heading(output, "%s", json_text(host, "hostname"));
        text_bytes(memory, json_number(host, "memory"));
        text_bytes(promised, json_number(host, "memory_promised"));
        text_bytes(limit, json_number(host, "memory_limit"));
        table_begin(&table);
        table_info(
                &table, "System", "%s, Linux %s", json_text(host, "os"), json_text(host, "kernel"));
        table_info(&table, "Hardware", "%" PRIu64 " cores, %s", json_number(host, "cores"), memory);
        table_info(
                &table,
                "dynod",
                "%s, instance %s",
                json_text(host, "version"),
                json_text(host, "instance"));
        table_info(
                &table,
                "Runs",
                "%" PRIu64 " dynos of %" PRIu64 " apps",
                json_number(host, "dynos"),
                json_number(host, "apps"));
        table_info(&table, "Memory", "%s of %s promised to dynos", promised, limit);
        return table_print(&table, output);
}
