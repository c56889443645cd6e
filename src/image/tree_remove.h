/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/cleanup.h"

/**
 * tree_remove() - delete everything in a folder
 * @root_fd:  the folder, O_PATH; borrowed, stays
 *
 * Follows no link and stays on its file system. Folders that lock us out are opened up first.
 *
 * Return: 0 or a negative errno; then part of it is deleted.
 */
int tree_remove(int root_fd) _must_check_;
