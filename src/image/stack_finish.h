/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "image/unpack_report.h"

/**
 * stack_finish() - make an extracted stack ready to be a dyno's root
 * @object_fd:  the object's folder, O_PATH; passwd and group are made here
 * @tree_fd:    the tree in it, O_PATH
 * @report:     counts and refusals
 *
 * Makes the folders and files that the launcher mounts over, since the tree is read-only
 * by then, and the stack's own passwd and group with the dyno's user added.
 *
 * Return: 0, -EBADMSG (refused), or a negative errno.
 */
int stack_finish(int object_fd, int tree_fd, UnpackReport *report) _must_check_;
