/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Facts to text for people. Renderers read nothing but their arguments, so that golden
 * tests feed them canned facts, with and without a terminal.
 *
 * Return: 0 or -ENOMEM.
 */

#include <json-c/json.h>
#include <stdbool.h>

#include "cli/output.h"

int render_ps(const Output *output, struct json_object *dynos, bool all_apps) _must_check_;

/* ps:inspect. Return: 1 if a layer failed, 0, or -ENOMEM. */
int render_inspect(const Output *output, struct json_object *facts, const char *app, bool timing)
        _must_check_;

/* doctor. Return: 1 if dynos cannot start, 2 if only with a gap that is allowed, 0, or -ENOMEM. */
int render_doctor(const Output *output, struct json_object *facts) _must_check_;

int render_apps(const Output *output, struct json_object *apps) _must_check_;
int render_app_info(const Output *output, struct json_object *app) _must_check_;
int render_stacks(const Output *output, struct json_object *stacks) _must_check_;
int render_releases(const Output *output, struct json_object *releases, const char *app)
        _must_check_;
int render_release_info(const Output *output, struct json_object *release, const char *app)
        _must_check_;
int render_config(const Output *output, struct json_object *config, const char *app) _must_check_;
int render_config_shell(const Output *output, struct json_object *config) _must_check_;
int render_formation(const Output *output, struct json_object *formation) _must_check_;
int render_sizes(const Output *output, struct json_object *sizes) _must_check_;
int render_firewall(const Output *output, struct json_object *network) _must_check_;
int render_trusted(const Output *output, struct json_object *network) _must_check_;
int render_services(const Output *output, struct json_object *network) _must_check_;
int render_published(const Output *output, struct json_object *network) _must_check_;
int render_host(const Output *output, struct json_object *host) _must_check_;

/*
 * A table: cells of one line are separated by tabs in @text, and columns are aligned when
 * it is printed. Tenants' text in it is cleaned before.
 */
int render_table(const Output *output, const char *text) _must_check_;
