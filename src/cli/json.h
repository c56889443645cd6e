/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answers as JSON values: what --json prints is what the renderers read.
 *
 * An answer of the bus is turned into json-c's values once, generically; so a key that
 * a newer daemon adds shows up in --json without a change here.
 */

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"

static inline struct json_object *json_object_freed(struct json_object *object) {
        (void)json_object_put(object);
        return NULL;
}
static inline void json_freep(struct json_object **object) {
        *object = json_object_freed(*object);
}
#define _cleanup_json_ _cleanup_(json_freep)

/*
 * For answers that go to a terminal: from now on json_from_message() makes every text and
 * key harmless, as text_clean() does. Whoever prints needs not to know who wrote what.
 */
void json_clean_texts(bool on);

/**
 * json_from_message() - the next complete value of a message
 * @ret:      owned by the caller
 * @message:  at the value; moved behind it
 *
 * a{s*} becomes an object, other arrays an array, variants what is in them, a struct an
 * array; a descriptor becomes null.
 *
 * Return: 0, -ENXIO at the end of the message, or a negative errno.
 */
int json_from_message(struct json_object **ret, sd_bus_message *message) _must_check_;

/* Facts of an object; what is absent or null is "", 0, false or NULL. Borrowed. */
const char *json_text(struct json_object *object, const char *key);
uint64_t json_number(struct json_object *object, const char *key);
double json_real(struct json_object *object, const char *key);
bool json_flag(struct json_object *object, const char *key);
bool json_has(struct json_object *object, const char *key); /* there, not null, not "" */
struct json_object *json_get(struct json_object *object, const char *key);
size_t json_length(struct json_object *list);
/* Look before json_object_object_foreach(): it takes nothing but objects. 0: none, or no object. */
size_t json_members(struct json_object *object);
struct json_object *json_at(struct json_object *list, size_t i);
/* A list of strings as "web, worker"; owned by the caller, NULL without memory. */
char *json_join(struct json_object *list, const char *separator) _must_check_;

/* Sets keys of @object that are absent or "" to null: the contract lists them as always there. */
void json_complete(struct json_object *object, const char *const *keys, size_t n);

/*
 * One document, or one line with @line; owned by the caller, NULL without memory. Control
 * characters that JSON leaves as they are (DEL, C1) are escaped: the same to programs, and
 * nothing to a terminal, to which a log line of a tenant may go.
 */
char *json_format(struct json_object *object, bool line) _must_check_;

/* The same on @out. */
void json_print(struct json_object *object, FILE *out, bool line);
