/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The folders of the store, and why a tree is trusted. Short calls of root's own, on names
 * that it made itself; nothing below an object's folder is looked at.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "ipc/launch_proto.h"

#define BOOT_ID_SIZE 40
#define MARKER_SIZE 128

typedef struct StorePlace {
        int root_fd; /* the state folder */
        int archives_fd;
        int kind_fd[_OBJECT_KIND_MAX];
        int boot_fd;
        int tmp_fd;
        char boot_id[BOOT_ID_SIZE];
} StorePlace;

/* Makes what is missing. @state_fd: borrowed. Return: 0 or a negative errno. */
int store_place_open(StorePlace *ret, int state_fd) _must_check_;
void store_place_close(StorePlace *place);

/* True if the object is there and its marker names it. @ret_fd may be NULL. */
int store_place_trusted(
        const StorePlace *place, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int *ret_fd)
        _must_check_;

/**
 * store_place_install() - move an extracted object into its place and trust it for this boot
 * @place:       place
 * @kind:        stack or slug
 * @digest:      of its archive
 * @tmp_dir_fd:  holds it as "object"; an object that was there before and is not trusted
 *               takes its place there
 *
 * Return: 0, or a negative errno.
 */
int store_place_install(
        const StorePlace *place, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int tmp_dir_fd)
        _must_check_;

/* Moves the archive of @tmp_dir_fd into its place; it is not yet durable there. */
int store_place_install_archive(
        const StorePlace *place, const uint8_t digest[DIGEST_SIZE], int tmp_dir_fd) _must_check_;

/*
 * What is trusted about an object now: pass it to store_place_mark_synced() after a syncfs(2)
 * of the whole store, and it is trusted after a reboot too, if it is still the same.
 */
int store_place_read_marker(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        char ret[MARKER_SIZE]) _must_check_;
int store_place_mark_synced(
        const StorePlace *place,
        ObjectKind kind,
        const uint8_t digest[DIGEST_SIZE],
        const char marker[MARKER_SIZE]) _must_check_;

/* Takes object and archive out; the object becomes "object" in @tmp_dir_fd, if there was one. */
int store_place_remove(
        const StorePlace *place, ObjectKind kind, const uint8_t digest[DIGEST_SIZE], int tmp_dir_fd)
        _must_check_;
