/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/unpack_report.h"

/**
 * slug_finish() - find the app in an extracted slug, and its process types
 * @object_fd:    the object's folder, O_PATH; "stage" in it becomes "tree"
 * @outside_app:  entries outside ./app
 * @report:       gets the process types; counts and refusals
 *
 * Return: 0, -EBADMSG (refused), or a negative errno.
 */
int slug_finish(int object_fd, uint64_t outside_app, UnpackReport *report) _must_check_;
