/* SPDX-License-Identifier: Apache-2.0 */

/* What dynos may reach, and who may reach them. */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/json.h"
#include "cli/render.h"
#include "cli/table.h"

static bool is_closed(struct json_object *network) {
        return strcmp(json_text(network, "firewall"), "closed") == 0;
}

/* Root has another policy than the one that is shown, or the host has not what it needs. */
static void print_problem(const Output *output, struct json_object *network) {
        if (!json_has(network, "problem"))
                return;
        if (json_flag(network, "in_force")) {
                (void)fprintf(
                        output->out,
                        "\n%sIncomplete%s: %s.\n",
                        output_color(output, COLOR_RED),
                        output_plain(output),
                        json_text(network, "problem"));
                return;
        }
        (void)fprintf(
                output->out,
                "\n%sNot in force%s: %s. Dynos of %s start again when it is.\n",
                output_color(output, COLOR_RED),
                output_plain(output),
                json_text(network, "problem"),
                json_text(network, "app"));
}

static int print_rules(const Output *output, struct json_object *network) {
        struct json_object *rules = json_get(network, "rules");
        Table table;

        table_begin(&table);
        for (size_t i = 0; i < json_length(rules); i++) {
                struct json_object *rule = json_at(rules, i);
                uint64_t covered_by = json_number(rule, "covered_by");

                table_cell(&table, "%" PRIu64, json_number(rule, "number"));
                table_cell(&table, "%s", json_text(rule, "action"));
                table_cell(&table, "%s", json_text(rule, "target"));
                if (covered_by > 0)
                        table_cell(&table, "(rule %" PRIu64 " decides before)", covered_by);
                table_end_line(&table);
        }
        table_cell(&table, "-");
        table_cell(&table, "%s", is_closed(network) ? "deny" : "allow");
        table_cell(&table, "%s", json_length(rules) > 0 ? "everything else" : "everything");
        table_end_line(&table);
        return table_print(&table, output);
}

/* "postgres 172.16.0.1:5432/tcp, …": open whatever the rules say. */
static void print_openings(const Output *output, struct json_object *network) {
        struct json_object *services = json_get(network, "services");

        (void)fprintf(
                output->out,
                "\nSource address: %s\n",
                json_has(network, "source") ? json_text(network, "source") : "auto");
        for (size_t i = 0; i < json_length(services); i++) {
                struct json_object *service = json_at(services, i);

                (void)fprintf(
                        output->out,
                        "%s%s %s:%" PRIu64 "/%s",
                        i == 0 ? "Also open, by services:add: " : ", ",
                        json_text(service, "name"),
                        json_text(network, "service_address"),
                        json_number(service, "port"),
                        json_text(service, "protocol"));
        }
        if (json_length(services) > 0)
                (void)fputc('\n', output->out);
}

int render_firewall(const Output *output, struct json_object *network) {
        int r;

        table_heading(
                output,
                "Firewall of %s: %s",
                json_text(network, "app"),
                json_text(network, "firewall"));
        r = print_rules(output, network);
        if (r < 0)
                return r;
        if (json_length(json_get(network, "rules")) > 0)
                (void)fprintf(
                        output->out, "\nThe first that fits decides; a new rule goes first.\n");
        print_openings(output, network);
        print_problem(output, network);
        return 0;
}

/* Heroku's words. */
int render_trusted(const Output *output, struct json_object *network) {
        struct json_object *trusted = json_get(network, "trusted");

        if (json_flag(network, "restricted") && json_length(trusted) == 0) {
                (void)fprintf(
                        output->out,
                        "%s has no trusted IP ranges. All inbound web requests to dynos are "
                        "blocked.\n",
                        json_text(network, "app"));
                return 0;
        }

        table_heading(output, "Trusted IP Ranges");
        if (!json_flag(network, "restricted"))
                (void)fprintf(output->out, "0.0.0.0/0\n");
        for (size_t i = 0; i < json_length(trusted); i++)
                (void)fprintf(output->out, "%s\n", json_object_get_string(json_at(trusted, i)));
        if (json_length(json_get(network, "published")) == 0)
                (void)fprintf(
                        output->out,
                        "\nNo port is published yet: herokuctl ps:publish web 8080 -a %s\n",
                        json_text(network, "app"));
        return 0;
}

int render_services(const Output *output, struct json_object *network) {
        struct json_object *services = json_get(network, "services");
        const char *app = json_text(network, "app");
        Table table;

        if (json_length(services) == 0) {
                (void)fprintf(
                        output->out,
                        "%s reaches no port of this host. Open one: herokuctl services:add "
                        "postgres 5432 -a %s\n",
                        app,
                        app);
                return 0;
        }

        table_heading(output, "Services of %s", app);
        table_begin(&table);
        for (size_t i = 0; i < json_length(services); i++) {
                struct json_object *service = json_at(services, i);

                table_cell(&table, "%s", json_text(service, "name"));
                table_cell(
                        &table,
                        "%" PRIu64 "/%s",
                        json_number(service, "port"),
                        json_text(service, "protocol"));
                table_cell(
                        &table,
                        "%s:%" PRIu64,
                        json_text(network, "service_address"),
                        json_number(service, "port"));
                table_end_line(&table);
        }
        return table_print(&table, output);
}

int render_published(const Output *output, struct json_object *network) {
        struct json_object *published = json_get(network, "published");
        size_t trusted = json_length(json_get(network, "trusted"));
        const char *app = json_text(network, "app");

        if (json_length(published) == 0) {
                (void)fprintf(
                        output->out,
                        "No ports of this host are published for %s. Publish one: herokuctl "
                        "ps:publish web 8080 -a %s\n",
                        app,
                        app);
                return 0;
        }

        table_heading(output, "Published ports of %s", app);
        for (size_t i = 0; i < json_length(published); i++)
                (void)fprintf(
                        output->out, "%s  web\n", json_object_get_string(json_at(published, i)));
        if (json_flag(network, "restricted"))
                (void)fprintf(
                        output->out,
                        "\nFor %zu trusted network%s: herokuctl trusted-ips -a %s\n",
                        trusted,
                        trusted == 1 ? "" : "s",
                        app);
        return 0;
}
